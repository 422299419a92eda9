"""The judgments that a figure was made of, with their texts: what a lead reads after a figure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlmodel import Session, col

from labeling.permissions import Action, require
from labeling.statistics.judgment_columns import KINDS, Flags, JudgmentColumns
from labeling.statistics.measured_times import seconds_of
from storage.errors import BadInput
from storage.tables import Account, AccountKind, Completion, Prompt, Task, TaskCompletion


@dataclass(frozen=True)
class Selection:
    """Say which judgments of a project: those that fit all that is set.

    `other` asks for the tasks that `annotator` and `other` have both judged, and for judgments of
    the two alone. `shared` asks for tasks that two or more have judged. `since` (included) and
    `until` (not) are ISO 8601, in UTC. `models` asks for judgments of models, which are left out
    otherwise.
    """

    annotator: int | None = None
    other: int | None = None
    task: int | None = None
    version: int | None = None
    guideline: int | None = None
    tag: str | None = None
    language: str | None = None
    since: str | None = None
    until: str | None = None
    shared: int | None = None
    fast: int | None = None
    arena: int | None = None
    models: int | None = None

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> "Selection":
        """Read the parameters of an address; others are passed over. Raises `BadInput`."""
        given: dict[str, Any] = {}
        for field in fields(cls):
            if (text := query.get(field.name)) is not None:
                given[field.name] = text if "str" in str(field.type) else _number(field.name, text)
        for name in ("since", "until"):
            if name in given:
                _time(name, given[name])
        return cls(**given)

    def query(self) -> dict[str, str]:
        """Return the parameters of an address that `of_query` reads back."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class JudgmentBehind:
    """Hold one judgment with what was judged; ranks and completions are in task position order.

    `seconds` is None where nobody measured them. `others` holds name and ranks of everyone else
    whose judgment of the task counts.
    """

    judgment_id: int
    task_id: int
    annotator: str
    ranks: list[int]
    seconds: float | None
    created_at: datetime
    policy_version: int
    messages: list[dict[str, str]]
    completions: list[str]
    others: list[tuple[str, list[int]]]


def selected(columns: JudgmentColumns, selection: Selection) -> np.ndarray:
    """Return the places in `columns` of the judgments that fit, ascending."""
    keep = _by_whom(columns, selection)
    numbers = (
        (columns.task_id, selection.task),
        (columns.policy_version, selection.version),
        (columns.guideline_version, selection.guideline),
        (columns.fast, selection.fast),
        (columns.arena, selection.arena),
    )
    for values, wanted in numbers:
        if wanted is not None:
            keep &= values == wanted
    if selection.tag is not None:
        tagged = columns.tags["prompt_id"][columns.tags["tag"] == selection.tag]
        keep &= np.isin(columns.prompt_id, tagged.to_numpy())
    if selection.language is not None:
        named = [one for one, name in enumerate(columns.languages) if name == selection.language]
        keep &= np.isin(columns.language, named)
    if selection.since is not None:
        keep &= columns.created_at >= _time("since", selection.since)
    if selection.until is not None:
        keep &= columns.created_at < _time("until", selection.until)
    if selection.shared:
        tasks, counts = np.unique(columns.task_id[keep], return_counts=True)
        keep &= np.isin(columns.task_id, tasks[counts > 1])
    return np.flatnonzero(keep)


def judgments_behind(
    session: Session,
    *,
    project_id: int,
    account: Account,
    columns: JudgmentColumns,
    places: np.ndarray,
) -> list[JudgmentBehind]:
    """Return the judgments at `places` in `columns`, in that order, with their texts.

    Raises `NotAllowed`.
    """
    require(account, Action.SEE_QUALITY, project_id=project_id)
    tasks = sorted({int(one) for one in columns.task_id[places]})
    messages = _messages(session, project_id, tasks)
    completions = _completions(session, tasks)
    names = columns.annotators["name"]
    of_tasks = np.flatnonzero(np.isin(columns.task_id, tasks))
    seconds = seconds_of(columns.milliseconds[places], columns.fast[places])
    found = []
    for place, taken in zip(places, seconds, strict=True):
        task_id, k = int(columns.task_id[place]), int(columns.k[place])
        others = [
            (str(names[columns.annotator_id[other]]), columns.ranks[other, :k].tolist())
            for other in of_tasks
            if columns.task_id[other] == task_id and other != place
        ]
        found.append(
            JudgmentBehind(
                judgment_id=int(columns.judgment_id[place]),
                task_id=task_id,
                annotator=str(names[columns.annotator_id[place]]),
                ranks=columns.ranks[place, :k].tolist(),
                seconds=None if np.isnan(taken) else float(taken),
                created_at=columns.created_at[place].astype(datetime),
                policy_version=int(columns.policy_version[place]),
                messages=messages[task_id],
                completions=completions[task_id],
                others=others,
            )
        )
    return found


def _by_whom(columns: JudgmentColumns, selection: Selection) -> Flags:
    keep = columns.kind != KINDS.index(AccountKind.MODEL)
    if selection.models:
        keep = ~keep
    if selection.annotator is None:
        return np.array(keep)
    mine = columns.annotator_id == selection.annotator
    if selection.other is None:
        # Whoever asks for one annotator means that one, a model too.
        return mine
    theirs = columns.annotator_id == selection.other
    both = np.intersect1d(columns.task_id[mine], columns.task_id[theirs])
    return (mine | theirs) & np.isin(columns.task_id, both)


def _messages(
    session: Session, project_id: int, tasks: list[int]
) -> dict[int, list[dict[str, str]]]:
    rows = session.execute(
        select(col(Task.id), col(Prompt.messages))
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .where(col(Task.id).in_(tasks), col(Task.project_id) == project_id)
    )
    return {task_id: list(messages) for task_id, messages in rows}


def _completions(session: Session, tasks: list[int]) -> dict[int, list[str]]:
    rows = session.execute(
        select(col(TaskCompletion.task_id), col(Completion.text))
        .join(Completion, col(Completion.id) == col(TaskCompletion.completion_id))
        .where(col(TaskCompletion.task_id).in_(tasks))
        .order_by(col(TaskCompletion.task_id), col(TaskCompletion.position))
    )
    found: dict[int, list[str]] = {}
    for task_id, text in rows:
        found.setdefault(task_id, []).append(text)
    return found


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadInput(
            f"The address asks for {name} {text!r}, which is no number; choose a figure again."
        ) from error


def _time(name: str, text: str) -> np.datetime64:
    try:
        return np.datetime64(datetime.fromisoformat(text).replace(tzinfo=None), "us")
    except ValueError as error:
        raise BadInput(
            f"The address asks for {name} {text!r}, which is no time; choose a figure again."
        ) from error
