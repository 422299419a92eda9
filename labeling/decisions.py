"""What leads' decisions mean: which judgments are left out, and which rankings are labels.

Decisions are append-only rows of Review; `labeling/adjudication.py` writes them.
"""

import pandas as pd
from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from storage.tables import Judgment, Review, ReviewDecision

# Of these the newest says what a task's label is: a requeued task has none of a lead any more.
_OF_LABELS = (ReviewDecision.DECIDED, ReviewDecision.REQUEUED)


def not_discarded() -> ColumnElement[bool]:
    """Return the condition under which no lead has discarded a Judgment, or one restored it."""
    return ~_newest_is(ReviewDecision.DISCARDED, ReviewDecision.RESTORED)


def discarded_judgments(
    session: Session, *, project_id: int, task_id: int | None = None
) -> set[int]:
    """Return the ids of the judgments that snapshots, statistics and exports leave out.

    Of the whole project, or of one task.
    """
    statement = select(col(Judgment.id)).where(
        col(Judgment.project_id) == project_id, ~not_discarded()
    )
    if task_id is not None:
        statement = statement.where(col(Judgment.task_id) == task_id)
    return {row[0] for row in session.execute(statement)}


def decided_labels(session: Session, *, project_id: int) -> pd.DataFrame:
    """Return the tasks whose label a lead has decided, in the order of the decisions.

    Columns: review_id, task_id, ranks (list by task position), by_id, decided_at. A task that was
    given to more people after it was decided has no row.
    """
    later = aliased(Review)
    superseded = exists().where(
        col(later.task_id) == Review.task_id,
        col(later.decision).in_(_OF_LABELS),
        col(later.id) > Review.id,
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


def _newest_is(wanted: ReviewDecision, other: ReviewDecision) -> ColumnElement[bool]:
    """Return the condition that the newest of two decisions about a Judgment is `wanted`."""
    first, later = aliased(Review), aliased(Review)
    taken_back = exists().where(
        col(later.judgment_id) == first.judgment_id,
        col(later.decision) == other,
        col(later.id) > first.id,
    )
    return exists().where(
        col(first.judgment_id) == Judgment.id, col(first.decision) == wanted, ~taken_back
    )
