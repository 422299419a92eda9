"""Agreement divided by policy version, prompt tag, language, guideline version, week, criterion."""

from collections.abc import Collection, Iterator
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlmodel import Session, col, select

from labeling.permissions import Action, require
from labeling.statistics.bootstrap import USUAL, Resampling
from labeling.statistics.figure import Figure
from labeling.statistics.judgment_columns import JudgmentColumns, judgment_columns
from labeling.statistics.measures import (
    RANKING_MEASURES,
    RATING_MEASURES,
    ranking_figures,
    rating_figures,
)
from labeling.statistics.rankings import rankings_of
from labeling.statistics.unit_counts import Answers
from storage.tables import Account, Policy

Dimension = Literal["project", "policy", "tag", "language", "guideline", "week", "criterion"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
COLUMNS = (
    *("by", "group", "measure", "value", "low", "high"),
    *("n", "of", "judgments", "tasks"),
)

Ints = npt.NDArray[np.integer[Any]]
_LIKERT = np.arange(1, 8)
_CHECK = np.array([0, 1])


def breakdown(
    columns: JudgmentColumns,
    by: Dimension,
    *,
    measures: Collection[str] = (*RANKING_MEASURES, *RATING_MEASURES),
    resampling: Resampling = USUAL,
) -> pd.DataFrame:
    """Return one row for each group and measure, groups in their order; models are left out.

    Columns: by, group (text), measure, value, low, high (None where not measurable), n, of,
    judgments and tasks of the group.

    - policy: the version, of an arena task the newer; tag: a task is in the group of each of its
      prompt's tags, and tasks without one in none; language: "" where the prompt has none
    - guideline: judgments under one version, which are compared with each other only
    - week: the ISO week of the task's newest judgment, so that its judgments stay together
    - criterion: its answers, Likert ones ordinal and yes/no ones nominal, instead of rankings
    """
    people = columns.by_people()
    groups = _criteria(people) if by == "criterion" else _groups(people, by)
    rows = []
    for group, what in groups:
        if isinstance(what, list):
            figures, task = _of_answers(what, measures, resampling)
        else:
            task = people.task_id[what]
            figures = _of_rankings(people, what, measures, resampling)
        size = {"judgments": len(task), "tasks": len(np.unique(task))}
        rows += [
            {"by": by, "group": group, "measure": name, **vars(figure), **size}
            for name, figure in figures.items()
        ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    measured = ["value", "low", "high"]
    table[measured] = table[measured].astype(object).where(table[measured].notna(), None)
    return table


def project_breakdown(
    session: Session,
    *,
    project_id: int,
    account: Account,
    by: Dimension,
    measures: Collection[str] = (*RANKING_MEASURES, *RATING_MEASURES),
) -> pd.DataFrame:
    """Return `breakdown` of the project's judgments; raise `NotAllowed` without the permission."""
    require(account, Action.SEE_QUALITY, project_id=project_id)
    return breakdown(judgment_columns(session, project_id=project_id), by, measures=measures)


def imported_policies(session: Session, *, project_id: int) -> dict[int, str]:
    """Return the names of the policies of imported completions, by version (0 and below)."""
    found = session.exec(
        select(Policy.version, Policy.name).where(
            Policy.project_id == project_id, col(Policy.version) <= 0
        )
    )
    return dict(found.all())


def _of_rankings(
    people: JudgmentColumns, rows: Ints, measures: Collection[str], resampling: Resampling
) -> dict[str, Figure]:
    rankings = rankings_of(
        people.task_id[rows], people.annotator_id[rows], people.ranks[rows], people.k[rows]
    )
    return ranking_figures(rankings, names=measures, resampling=resampling)


def _of_answers(
    answers: list[Answers], measures: Collection[str], resampling: Resampling
) -> tuple[dict[str, Figure], Ints]:
    level: Any = "ordinal" if len(answers[0].values) > 2 else "nominal"
    figures = rating_figures(answers, level=level, names=measures, resampling=resampling)
    return figures, np.concatenate([part.task for part in answers])


def _groups(people: JudgmentColumns, by: Dimension) -> Iterator[tuple[str, Ints]]:
    """Yield each group's name and the places of its judgments."""
    if by == "project":
        yield "all", np.arange(len(people))
    elif by == "policy":
        yield from _by_code(people.policy_version)
    elif by == "guideline":
        yield from _by_code(people.guideline_version)
    elif by == "language":
        for code, rows in _by_code(people.language):
            yield people.languages[int(code)], rows
    elif by == "week":
        yield from _by_week(people)
    else:
        yield from _by_tag(people)


def _by_code(codes: Ints) -> Iterator[tuple[str, Ints]]:
    order = np.argsort(codes, kind="stable")
    values, begins = np.unique(codes[order], return_index=True)
    # Without any code there is still one part, an empty one.
    for value, rows in zip(values, np.split(order, begins[1:]), strict=False):
        yield str(value), rows


def _by_week(people: JudgmentColumns) -> Iterator[tuple[str, Ints]]:
    tasks, place = np.unique(people.task_id, return_inverse=True)
    days = people.created_at.astype("datetime64[D]").astype(np.int64)
    newest = np.zeros(len(tasks), dtype=np.int64)
    np.maximum.at(newest, place, days)
    # Day 0 of the epoch was a Thursday: weeks begin three days before it.
    for week, rows in _by_code((newest[place] + 3) // 7):
        year, number, _ = (
            np.datetime64(int(week) * 7 - 3, "D").astype("datetime64[D]").item().isocalendar()
        )
        yield f"{year}-W{number:02d}", rows


def _by_tag(people: JudgmentColumns) -> Iterator[tuple[str, Ints]]:
    prompts = pd.DataFrame({"prompt_id": people.prompt_id, "row": np.arange(len(people))})
    tagged = people.tags.drop_duplicates().merge(prompts, on="prompt_id")
    codes, names = pd.factorize(tagged["tag"], sort=True)
    for code, rows in _by_code(codes):
        yield str(names[int(code)]), tagged["row"].to_numpy()[rows]


def _criteria(people: JudgmentColumns) -> Iterator[tuple[str, list[Answers]]]:
    """Yield each criterion's name and its answers."""
    order = np.argsort(people.task_id, kind="stable")
    task, rater = people.task_id[order], people.annotator_id[order]
    width = int(people.k.max(initial=1))
    for name, answers in people.likert.items():
        codes = answers[order, :width] - np.int8(1)
        yield name, _answered(task, rater, codes, _LIKERT)
    for name, answers in people.checks.items():
        yield name, _answered(task, rater, answers[order, :width], _CHECK)


def _answered(task: Ints, rater: Ints, codes: Ints, values: npt.NDArray[Any]) -> list[Answers]:
    some = (codes >= 0).any(axis=1)
    return [Answers(task[some], rater[some], codes[some], values)]
