"""The leads' review queue: which tasks want a second look, why, and all that was said of them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import select
from sqlmodel import Session, col, func

from labeling.datasets.eligibility import counted, usable
from labeling.labeling_sections import ReviewSettings
from labeling.labeling_settings import labeling_settings
from labeling.model_annotators.out_of_fold import newest_unseen_pairs
from labeling.permissions import Action, require
from labeling.review.decisions import REAL_WORK, discarded_judgments
from labeling.statistics.agreement import task_agreement
from labeling.statistics.quality import pair_ratings
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Event,
    Judgment,
    Project,
    Prompt,
    Review,
    Task,
    TaskKind,
    TaskStatus,
)

__all__ = ["LETTERS", "Cause", "ReviewItem", "ReviewReason", "discarded_judgments", "review_queue"]


_AT_ONCE = 10_000
LETTERS = "ABCDEFGHI"  # what a lead calls the completions, by task position


class Cause(StrEnum):
    """Why a task wants a second look."""

    CLOSED = "closed"
    FLAGGED = "flagged"
    DISAGREEMENT = "disagreement"
    MODEL = "model"


@dataclass(frozen=True)
class ReviewReason:
    """Say in words why a task is in the queue, and since when."""

    cause: Cause
    words: str
    since: datetime


@dataclass(frozen=True)
class ReviewItem:
    """Hold a task of the queue: its reasons, its judgments' number and agreement, its prompt."""

    task_id: int
    reasons: tuple[ReviewReason, ...]
    judgments: int
    agreement: float | None
    prompt: str

    @property
    def since(self) -> datetime:
        """Return when the task came into the queue."""
        return min(reason.since for reason in self.reasons)


def review_queue(
    session: Session, *, project_id: int, account: Account, home: Path
) -> list[ReviewItem]:
    """Return the tasks that wait for a lead, the longest waiting first.

    A task is there where nobody could judge it, an annotator flagged it, its judgments agree too
    little, or a reward model that never saw its prompt is sure of another order (`ReviewSettings`
    has the bounds, `home` the round's files). It is off the queue once a lead has decided, kept,
    withdrawn or requeued it after that. Raises `NotAllowed`.
    """
    require(account, Action.REVIEW, project_id=project_id)
    settings = labeling_settings(session.get_one(Project, project_id)).review
    reviewed = _last_reviewed(session, project_id)
    agreements = _agreements(session, project_id, settings)
    reasons: dict[int, list[ReviewReason]] = defaultdict(list)
    for found in (
        _closed(session, project_id),
        _flagged(session, project_id),
        _disagreeing(agreements, settings),
        _against_the_model(session, project_id, settings, home),
    ):
        for task_id, reason in found:
            settled = reviewed.get(task_id)
            # A task that is with the lead stays there until one has taken it out of that state.
            if settled is None or reason.cause is Cause.CLOSED or reason.since > settled:
                reasons[task_id].append(reason)
    items = _items(session, reasons, agreements)
    return sorted(items, key=lambda item: (item.since, item.task_id))


def _last_reviewed(session: Session, project_id: int) -> dict[int, datetime]:
    """Return when each task was last reviewed as a whole."""
    rows = session.execute(
        select(col(Review.task_id), func.max(col(Review.created_at)))
        .where(col(Review.project_id) == project_id, col(Review.judgment_id).is_(None))
        .group_by(col(Review.task_id))
    )
    return {row[0]: row[1] for row in rows}


def _closed(session: Session, project_id: int) -> Iterator[tuple[int, ReviewReason]]:
    rows = session.execute(
        select(col(Task.id), col(Task.kind), func.max(col(Assignment.leased_at)))
        .join(Assignment, col(Assignment.task_id) == col(Task.id))
        .where(col(Task.project_id) == project_id, col(Task.status) == TaskStatus.REVIEW)
        .group_by(col(Task.id), col(Task.kind))
    )
    for task_id, kind, at in rows:
        words = f"Everyone who judges here has skipped or flagged {_called(kind)}."
        yield task_id, ReviewReason(Cause.CLOSED, words, at)


def _flagged(session: Session, project_id: int) -> Iterator[tuple[int, ReviewReason]]:
    rows = session.execute(
        select(Assignment, col(Account.name), col(Task.kind))
        .join(Task, col(Task.id) == col(Assignment.task_id))
        .join(Account, col(Account.id) == col(Assignment.annotator_id))
        .where(
            col(Task.project_id) == project_id,
            col(Assignment.state) == AssignmentState.FLAGGED,
            col(Task.status) != TaskStatus.WITHDRAWN,
        )
        .order_by(col(Assignment.id))
    ).all()
    at = _flagged_at(session, project_id) if rows else {}
    for assignment, name, kind in rows:
        said = ", ".join(assignment.flags or [])
        words = f"{name} flagged {_called(kind)}" + (f": {said}." if said else ".")
        since = at.get(assignment.id, assignment.leased_at)
        yield assignment.task_id, ReviewReason(Cause.FLAGGED, words, since)


def _called(kind: TaskKind) -> str:
    """Return "it", or for a task that tests annotators what it is: it has no label to decide."""
    return "it" if kind in REAL_WORK else f"this {kind.value} task"


def _flagged_at(session: Session, project_id: int) -> dict[int, datetime]:
    """Return when each assignment was flagged: the row itself keeps only when it was lent."""
    rows = session.execute(
        select(col(Event.detail), col(Event.created_at))
        .where(col(Event.kind) == "task.flagged", col(Event.project_id) == project_id)
        .order_by(col(Event.id))
    )
    return {detail["assignment_id"]: at for detail, at in rows}


def _agreements(session: Session, project_id: int, settings: ReviewSettings) -> pd.DataFrame:
    """Return agreement, judgments and newest (time), indexed by task, of the newest judgments."""
    newest = (
        select(
            col(Judgment.task_id),
            col(Judgment.annotator_id),
            col(Judgment.ranks),
            col(Judgment.created_at),
        )
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .where(
            col(Judgment.project_id) == project_id,
            col(Account.kind) != AccountKind.MODEL,
            col(Task.status) != TaskStatus.WITHDRAWN,
            *counted(),
        )
        # The order of an index: by the id alone all judgments of the project would be sorted.
        .order_by(col(Judgment.created_at).desc(), col(Judgment.id).desc())
        .limit(settings.newest_judgments)
    )
    columns = ["task_id", "annotator_id", "ranks", "created_at"]
    judged = pd.DataFrame(session.execute(newest).all(), columns=columns)
    of_task = judged.groupby("task_id")
    found = pd.DataFrame({"judgments": of_task.size(), "newest": of_task["created_at"].max()})
    return found.join(task_agreement(pair_ratings(judged)))


def _disagreeing(
    agreements: pd.DataFrame, settings: ReviewSettings
) -> Iterator[tuple[int, ReviewReason]]:
    low = agreements[agreements["agreement"] < settings.low_agreement]
    for task_id, row in low.iterrows():
        words = f"{row['judgments']} annotators agree on {row['agreement']:.0%} of its pairs."
        yield int(task_id), ReviewReason(Cause.DISAGREEMENT, words, row["newest"].to_pydatetime())


def _against_the_model(
    session: Session, project_id: int, settings: ReviewSettings, home: Path
) -> Iterator[tuple[int, ReviewReason]]:
    pairs = newest_unseen_pairs(session, project_id=project_id, home=home)
    against = pairs[1 - pairs["probability"] > settings.model_disagreement]
    worst = against.sort_values("probability").drop_duplicates("judgment_id")
    wanted = [int(judgment_id) for judgment_id in worst["judgment_id"]]
    statement = (
        select(col(Judgment.id), col(Judgment.task_id), col(Judgment.created_at), col(Account.name))
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .where(
            col(Judgment.project_id) == project_id,
            col(Task.status) != TaskStatus.WITHDRAWN,
            *usable(),
        )
    )
    of_pair = worst.set_index("judgment_id")
    for judgment_id, task_id, at, name in _of_ids(session, statement, col(Judgment.id), wanted):
        pair = of_pair.loc[judgment_id]
        words = (
            f"A reward model that never saw this prompt is {1 - pair['probability']:.0%} sure "
            f"that {LETTERS[int(pair['worse'])]} is better than {LETTERS[int(pair['better'])]}, "
            f"against {name}."
        )
        yield task_id, ReviewReason(Cause.MODEL, words, at)


def _of_ids(session: Session, statement: Any, key: Any, ids: list[int]) -> Iterator[Any]:
    # PostgreSQL takes 65,535 values in a statement.
    for start in range(0, len(ids), _AT_ONCE):
        yield from session.execute(statement.where(key.in_(ids[start : start + _AT_ONCE])))


def _items(
    session: Session, reasons: dict[int, list[ReviewReason]], agreements: pd.DataFrame
) -> list[ReviewItem]:
    statement = select(col(Task.id), col(Task.judged), col(Prompt.messages)).join(
        Prompt, col(Prompt.id) == col(Task.prompt_id)
    )
    rows = _of_ids(session, statement, col(Task.id), list(reasons))
    known = agreements["agreement"].dropna()
    return [
        ReviewItem(
            task_id=task_id,
            reasons=tuple(reasons[task_id]),
            judgments=judged,
            agreement=float(known[task_id]) if task_id in known.index else None,
            prompt=messages[-1]["content"] if messages else "",
        )
        for task_id, judged, messages in rows
    ]
