"""What leads' decisions mean: which judgments are left out, and which rankings are labels.

Decisions are append-only rows of Review; `labeling/review/adjudication.py` writes them.
"""

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from storage.tables import Judgment, Review, ReviewDecision, Task, TaskKind

if TYPE_CHECKING:
    import pandas as pd

#: What people are asked for its own sake; the other kinds test them, and train nothing.
REAL_WORK = (TaskKind.ORDINARY, TaskKind.ARENA)

# Of these the newest says what a task's label is: a requeued task has none of a lead any more.
_OF_LABELS = (ReviewDecision.DECIDED, ReviewDecision.REQUEUED)


def not_discarded() -> ColumnElement[bool]:
    """Return the condition under which no lead has discarded a Judgment, or one restored it.

    A correction of a discarded judgment is discarded too, unless a lead has sent that one back
    since, or restores the correction itself.
    """
    # It starts from the few decisions, not from the many judgments, and is computed once.
    return col(Judgment.id).not_in(_discarded_ids())


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


def decided_labels(session: Session, *, project_id: int) -> "pd.DataFrame":
    """Return the tasks whose label a lead has decided, in the order of the decisions.

    Columns: review_id, task_id, ranks (list by task position), by_id, decided_at. A task that was
    given to more people after it was decided has no row, and no task that tests annotators has.
    """
    # A worker's parent asks for the conditions above: it is to start without pandas.
    import pandas as pd

    statement = (
        select(
            col(Review.id),
            col(Review.task_id),
            col(Review.ranks),
            col(Review.by_id),
            col(Review.created_at),
        )
        .join(Task, col(Task.id) == col(Review.task_id))
        .where(
            col(Review.project_id) == project_id,
            col(Task.kind).in_(REAL_WORK),
            _stands(),
        )
        .order_by(col(Review.id))
    )
    columns = ["review_id", "task_id", "ranks", "by_id", "decided_at"]
    return pd.DataFrame(session.execute(statement).all(), columns=columns)


def standing_decisions(session: Session, *, project_id: int) -> dict[int, int]:
    """Return the id of the decision that is a task's label, by task."""
    rows = session.execute(
        select(col(Review.task_id), col(Review.id)).where(
            col(Review.project_id) == project_id, _stands()
        )
    )
    return {row[0]: row[1] for row in rows}


def _stands() -> ColumnElement[bool]:
    """Return the condition that a Review is the newest about its task's label, and decides it."""
    later = aliased(Review)
    superseded = exists().where(
        col(later.task_id) == Review.task_id,
        col(later.decision).in_(_OF_LABELS),
        col(later.id) > Review.id,
    )
    return and_(col(Review.decision) == ReviewDecision.DECIDED, ~superseded)


def _discarded_ids() -> Select[Any]:
    """Select the ids of the judgments that are discarded, themselves or by what they correct.

    An assignment's judgments are one chain of corrections, oldest first. Of what leads decided on
    a judgment and those before it in the chain, the newest holds; that it was sent back is said of
    the corrections to come, and not of the judgment itself.
    """
    about, held = aliased(Judgment), aliased(Judgment)
    discarded = aliased(Review)
    about_later, later = aliased(Judgment), aliased(Review)
    taken_back = exists().where(
        col(about_later.assignment_id) == held.assignment_id,
        col(later.judgment_id) == about_later.id,
        col(later.id) > discarded.id,
        or_(
            and_(
                col(later.decision) == ReviewDecision.RESTORED,
                col(about_later.id) <= held.id,
            ),
            and_(
                col(later.decision) == ReviewDecision.RETURNED,
                col(about_later.id) < held.id,
            ),
        ),
    )
    return (
        select(col(held.id))
        .join(about, col(about.assignment_id) == col(held.assignment_id))
        .join(discarded, col(discarded.judgment_id) == col(about.id))
        .where(
            col(discarded.decision) == ReviewDecision.DISCARDED,
            col(about.id) <= col(held.id),
            ~taken_back,
        )
    )
