"""Agreement as words or as JSON: of the project, of its parts, or of a file of ratings."""

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pandas

from labeling.statistics.breakdowns import imported_policies, project_breakdown
from labeling.statistics.figure import Figure
from labeling.statistics.long_files import file_agreement, read_long_file
from labeling.statistics.quality import quality
from storage.engine import reading
from storage.errors import BadInput
from storage.plurals import counted, form
from storage.settings import Settings
from ui.cli.figures import plain
from ui.cli.frame import project_of, shell_account
from ui.database import open_database

_NAMES = {
    "pairwise_agreement": "pairwise agreement",
    "pairwise_without_ties": "pairwise agreement, no ties",
    "krippendorff_alpha": "Krippendorff's alpha",
    "krippendorff_alpha_of_ranks": "Krippendorff's alpha, ranks",
    "fleiss_kappa": "Fleiss' kappa",
    "cohen_kappa": "Cohen's kappa",
    "cohen_kappa_linear": "Cohen's kappa, linear",
    "cohen_kappa_quadratic": "Cohen's kappa, quadratic",
    "gwet_ac1": "Gwet's AC1",
    "gwet_ac2": "Gwet's AC2",
    "kendall_tau_b": "Kendall's tau-b",
    "kendall_w": "Kendall's W",
    "exact_order": "same order",
    "top_one": "same best",
    "tie_share": "ties",
}
_IN_TABLE = ("pairwise_agreement", "krippendorff_alpha", "kendall_tau_b", "kendall_w")


def show_stats(settings: Settings, *, as_json: bool) -> None:
    """Print the quality figures of the project."""
    with reading(open_database(settings)) as session:
        project = project_of(session, settings)
        assert project.id is not None
        found = quality(session, project_id=project.id, account=shell_account())
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    if as_json:
        click.echo(json.dumps(plain(values), indent=2))
        return
    click.echo(_head(found.judgments, "judgment", found.tasks, found.tasks_judged_twice))
    for name, value in values.items():
        if isinstance(value, Figure):
            click.echo(_line(name, value))
    for row in found.annotators.to_dict("records"):
        click.echo(
            f"{row['name']:<24} {_count(row['judgments'], 'judgment')}  "
            f"{_agreement(row['agreement'])}"
        )


def show_breakdown(settings: Settings, *, by: Any, as_json: bool) -> None:
    """Print the figures of each group of judgments; imported completions' by their model's name."""
    with reading(open_database(settings)) as session:
        project = project_of(session, settings)
        assert project.id is not None
        table = project_breakdown(session, project_id=project.id, account=shell_account(), by=by)
        if by == "policy":
            named = imported_policies(session, project_id=project.id)
            table = table.assign(version=table["group"].astype(int))
            table["group"] = [
                named.get(version, group)
                for version, group in zip(table["version"], table["group"], strict=True)
            ]
    if as_json:
        click.echo(json.dumps({"by": by, "figures": plain(table)}, indent=2))
    elif table.empty:
        click.echo(f"There is no judgment that has a {by} yet.")
    else:
        for line in _table(table, by):
            click.echo(line)


def show_file_stats(file: Path, *, level: Any, as_json: bool) -> None:
    """Print the agreement of the ratings in a file."""
    ratings = read_long_file(file)
    words = [value for value in ratings.values if not _is_number(value)]
    if level in ("interval", "ratio") and words:
        raise BadInput(
            f"{file}: the label {words[0]!r} is no number, and the level {level} measures by "
            "numbers; mend the file, or choose --level nominal or ordinal."
        )
    found = file_agreement(ratings, level=level)
    if as_json:
        counts = {"ratings": found.ratings, "tasks": found.tasks}
        counts["tasks_judged_twice"] = found.tasks_judged_twice
        values = {**counts, **found.figures, "annotators": found.annotators}
        click.echo(json.dumps(plain(values), indent=2))
        return
    click.echo(_head(found.ratings, "rating", found.tasks, found.tasks_judged_twice))
    for name, figure in found.figures.items():
        click.echo(_line(name, figure))
    for row in found.annotators.to_dict("records"):
        click.echo(
            f"{row['annotator_id']:<24} {_count(row['ratings'], 'rating')}  "
            f"{_agreement(row['agreement'])}"
        )


def _is_number(value: object) -> bool:
    try:
        return math.isfinite(float(str(value)))
    except ValueError:
        return False


def _head(judgments: int, called: str, tasks: int, twice: int) -> str:
    of = f"{counted(judgments, called)} of {counted(tasks, 'task')}"
    return f"{of}, {twice:,} of them judged more than once"


def _line(name: str, figure: Figure) -> str:
    return f"{_NAMES[name]:<28} {_words(figure)}"


def _words(figure: Figure) -> str:
    value = "not measurable" if figure.value is None else f"{figure.value:.3f}"
    between = "" if figure.low is None else f", 95 % {figure.low:.3f} to {figure.high:.3f}"
    return f"{value} (n = {figure.rests_on}{between})"


def _count(count: int, noun: str) -> str:
    return f"{count:>7,} {form(count, noun, f'{noun}s'):<{len(noun) + 1}}"


def _agreement(value: float | None) -> str:
    return "" if value is None else f"agreement with the others {value:.3f}"


def _table(table: pandas.DataFrame, by: str) -> list[str]:
    """Return one line a group, with the figures that say most."""
    shown = [name for name in _IN_TABLE if name in set(table["measure"])]
    heads = [f"{_NAMES[name]:>22}" for name in shown]
    width = max(20, *(len(str(group)) for group in table["group"]))
    lines = [f"{by:<{width}} {'judgments':>9} {'tasks':>8}{''.join(heads)}"]
    # Two files may name their models alike.
    groups = ["version", "group"] if "version" in table.columns else ["group"]
    for (*_, group), rows in table.groupby(groups, sort=False):
        values = rows.set_index("measure")["value"]
        cells = [f"{_cell(values[name]):>22}" for name in shown]
        first = rows.iloc[0]
        label = str(group) or "(none)"
        lines.append(
            f"{label:<{width}} {first['judgments']:>9} {first['tasks']:>8}{''.join(cells)}"
        )
    return lines


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
