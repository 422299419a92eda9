"""What leads' decisions mean: which judgments are left out, and which rankings are labels.

Decisions are append-only rows of Review; `labeling/adjudication.py` writes them.
"""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from storage.tables import Judgment, Review, ReviewDecision

# Of these the newest says what a task's label is: a requeued task has none of a lead any more.
_OF_LABELS = (ReviewDecision.DECIDED, ReviewDecision.REQUEUED)


@dataclass(frozen=True)
class Returned:
    """Hold a judgment that a lead sent back to its annotator, who has not judged it anew yet."""

    judgment_id: int
    task_id: int
    assignment_id: int
    comment: str
    returned_at: datetime


def not_discarded() -> ColumnElement[bool]:
    """Return the condition under which no lead has discarded a Judgment, or one restored it."""
    return ~_newest_is(ReviewDecision.DISCARDED, ReviewDecision.RESTORED)


def discarded_judgments(session: Session, *, project_id: int) -> set[int]:
    """Return the ids of the judgments that snapshots, statistics and exports leave out."""
    found = session.execute(
        select(col(Judgment.id)).where(col(Judgment.project_id) == project_id, ~not_discarded())
    )
    return {row[0] for row in found}


def decided_labels(session: Session, *, project_id: int) -> pd.DataFrame:
    """Return the tasks whose label a lead has decided, in the order of the decisions.

    Columns: review_id, task_id, ranks (list by task position), by_id, decided_at. A task that was
    given to more people after it was decided has no row.
    """
    later = aliased(Review)
    superseded = (
        select(later.id)
        .where(
            later.task_id == Review.task_id,
            col(later.decision).in_(_OF_LABELS),
            col(later.id) > Review.id,
        )
        .exists()
    )
    statement = (
        select(
            col(Review.id),
            col(Review.task_id),
            col(Review.ranks),
            col(Review.by_id),
            col(Review.created_at),
        )
        .where(
            col(Review.project_id) == project_id,
            col(Review.decision) == ReviewDecision.DECIDED,
            ~superseded,
        )
        .order_by(col(Review.id))
    )
    columns = ["review_id", "task_id", "ranks", "by_id", "decided_at"]
    return pd.DataFrame(session.execute(statement).all(), columns=columns)


def returned_judgments(session: Session, *, project_id: int, annotator_id: int) -> list[Returned]:
    """Return what leads sent back to the annotator and they have not judged anew, oldest first."""
    newer = aliased(Judgment)
    found = session.execute(
        select(Review, col(Judgment.assignment_id))
        .join(Judgment, col(Judgment.id) == col(Review.judgment_id))
        .where(
            col(Review.project_id) == project_id,
            col(Review.decision) == ReviewDecision.RETURNED,
            col(Judgment.annotator_id) == annotator_id,
            ~select(newer.id).where(newer.supersedes_id == Judgment.id).exists(),
        )
        .order_by(col(Review.id))
    ).all()
    # Sent back twice is one thing to do, with the newer comment.
    newest = {
        review.judgment_id: Returned(
            review.judgment_id, review.task_id, assignment_id, review.comment, review.created_at
        )
        for review, assignment_id in found
    }
    return list(newest.values())


def _newest_is(wanted: ReviewDecision, other: ReviewDecision) -> ColumnElement[bool]:
    """Return the condition that the newest of two decisions about a Judgment is `wanted`."""
    first, later = aliased(Review), aliased(Review)
    taken_back = (
        select(later.id)
        .where(
            later.judgment_id == first.judgment_id,
            later.decision == other,
            col(later.id) > first.id,
        )
        .exists()
    )
    return (
        select(first.id)
        .where(first.judgment_id == Judgment.id, first.decision == wanted, ~taken_back)
        .exists()
    )
