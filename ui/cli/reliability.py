"""`rankloop reliability`: how far each annotator can be relied on, and where it hurts."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import click

from labeling.statistics.annotator_reliability import AnnotatorReliability, annotator_reliability
from labeling.statistics.where_it_hurts import WhereItHurts, where_it_hurts
from storage.engine import reading
from storage.plurals import counted, form
from storage.settings import Settings
from ui.cli.figures import plain
from ui.cli.frame import project_of, stepwise
from ui.database import open_database

#: Column of the table in words, what it is headed, and how it is written.
_COLUMNS = (
    ("judgments", "judgments", "{:d}"),
    ("weight", "weight", "{:.2f}"),
    ("gold", "gold", "{:.0%}"),
    ("self_agreement", "self", "{:.0%}"),
    ("with_others", "others", "{:.0%}"),
    ("with_reward_model", "model", "{:.0%}"),
    ("first_shown_wins", "first wins", "{:.0%}"),
    ("longer_wins", "longer wins", "{:.0%}"),
    ("tie_share", "ties", "{:.0%}"),
    ("median_seconds", "seconds", "{:.0f}"),
    ("drift", "drift/week", "{:+.1%}"),
)


def show_reliability(settings: Settings, *, as_json: bool, most: int) -> None:
    """Print the figures of every annotator, and at most `most` rows of each list of trouble."""
    progress = stepwise()
    with reading(open_database(settings)) as session:
        project = project_of(session, settings)
        assert project.id is not None
        asked: dict[str, Any] = {"project_id": project.id, "account": None, "home": settings.home}
        progress("measuring annotators", 0.0)
        found = annotator_reliability(session, **asked)
        progress("looking for trouble", 0.5)
        trouble = where_it_hurts(session, **asked, most=most)
    if as_json:
        click.echo(json.dumps(plain(_values(found) | _values(trouble)), indent=2))
        return
    for line in [*_table(found), *_overall(found.overall), *_trouble(trouble)]:
        click.echo(line)


def _values(found: AnnotatorReliability | WhereItHurts) -> dict[str, Any]:
    return {field.name: getattr(found, field.name) for field in fields(found)}


def _table(found: AnnotatorReliability) -> list[str]:
    rows = found.annotators.to_dict("records")
    if not rows:
        return ["No annotator yet; add one with `rankloop account add`."]
    width = max(len("annotator"), *(len(str(row["name"])) for row in rows))
    head = f"{'annotator':<{width}}" + "".join(f"  {title:>11}" for _, title, _ in _COLUMNS)
    lines = [
        f"{row['name']!s:<{width}}" + "".join(f"  {_cell(row[name], form):>11}"
                                            for name, _, form in _COLUMNS)
        for row in rows
    ]  # fmt: skip
    return [head, *lines]


def _cell(value: Any, form: str) -> str:
    return "-" if value is None or value != value else form.format(value)


def _overall(overall: Mapping[str, Any]) -> list[str]:
    lines = [_share("first-shown completion wins", overall, "first_shown_wins")]
    if overall.get("first_shown_chance") is not None:
        biased = "outside it: position bias" if overall["position_biased"] else "no bias is seen"
        lines[0] += f"; chance gives {overall['first_shown_chance']:.1%}, {biased}"
    lines.append(_share("longer completion wins", overall, "longer_wins"))
    lines.append(_share("agreement with the others", overall, "with_others"))
    lines.append(_share("agreement with the out-of-fold reward model", overall,
                        "with_reward_model"))  # fmt: skip
    return ["", *lines]


def _share(words: str, overall: Mapping[str, Any], name: str) -> str:
    value = overall[name]
    if value is None:
        return f"{words}: not measurable"
    low, high, n = (overall[f"{name}_{part}"] for part in ("low", "high", "n"))
    return f"{words}: {value:.1%} (95 % {low:.1%} to {high:.1%}, n = {n:.0f})"


def _trouble(trouble: WhereItHurts) -> list[str]:
    lines = [
        f"task {row['task_id']}: {counted(row['judgments'], 'judgment')}, "
        f"{row['agreement']:.0%} agreement; most disputed "
        f"{_letters(row['first'], row['second'])} ({_split(row['split'])})"
        for row in trouble.disputed.to_dict("records")
        if row["agreement"] < 1
    ]
    lines += [
        f"judgment {row['judgment_id']} of task {row['task_id']}: the reward model gives "
        f"{_letters(row['better'], row['worse'], ' above ')} {row['probability']:.0%}; "
        f"{row['others_agree']} of {counted(row['others'], 'other')} "
        f"{form(row['others'], 'agrees', 'agree')} with it"
        for row in trouble.label_errors.to_dict("records")
    ]
    lines += [
        f"task {row['task_id']}: majorities go round in a circle, "
        f"{_letters(row['first'], row['second'], ' > ')} > {_letter(row['third'])} > "
        f"{_letter(row['first'])}"
        for row in trouble.majority_circles.to_dict("records")
    ]
    lines += [
        f"annotator {row['annotator_id']}: judgments of tasks "
        f"{', '.join(map(str, row['tasks']))} go round in a circle"
        for row in trouble.own_circles.to_dict("records")
    ]
    return ["", *lines] if lines else []


def _letter(position: int) -> str:
    return "ABCDEFGHI"[position]


def _letters(first: int, second: int, between: str = " and ") -> str:
    return f"{_letter(first)}{between}{_letter(second)}"


def _split(counts: list[int]) -> str:
    return "{} : {} tied : {}".format(*counts)
