"""Room: how many more annotators a task wants, by who has judged it and who holds it."""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, or_, text
from sqlmodel import Session, col, func, select

from storage.clock import now
from storage.tables import Assignment, AssignmentState, Task
from storage.tables.tasks import LEASED_ASSIGNMENT


def takes_room(at: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Return the condition under which an assignment counts towards its task's overlap."""
    return and_(
        col(Assignment.counted),
        or_(
            col(Assignment.state) == AssignmentState.SUBMITTED,
            and_(col(Assignment.state) == AssignmentState.LEASED, col(Assignment.expires_at) > at),
        ),
    )


def has_room(session: Session, *, task: Task, without_id: int | None = None) -> bool:
    """Say whether the (locked) task wants one more annotator, not counting `without_id`'s row."""
    values = {"task_id": task.id, "at": now(), "without_id": without_id or 0}
    taken: int = session.exec(_taken_statement(), params=values).one()
    return taken < task.overlap


# SQLAlchemy takes several times as long to build a statement as to run it: those that every submit
# needs are built once, their values bound at each use.
@cache
def _taken_statement() -> Any:
    return (
        select(func.count())
        .select_from(Assignment)
        .where(
            col(Assignment.task_id) == bindparam("task_id"),
            takes_room(bindparam("at")),
            col(Assignment.id) != bindparam("without_id"),
        )
    )


def count_submitted(session: Session, *, task: Task) -> int:
    """Return how many have submitted the task of those who count towards its overlap."""
    return session.exec(
        select(func.count())
        .select_from(Assignment)
        .where(
            Assignment.task_id == task.id,
            Assignment.state == AssignmentState.SUBMITTED,
            col(Assignment.counted),
        )
    ).one()


def live_leases(at: datetime | BindParameter[datetime]) -> Any:
    """Return the subquery that counts the leases of a task that take room at that time."""
    return (
        select(func.count())
        .select_from(Assignment)
        .where(
            text(LEASED_ASSIGNMENT),
            col(Assignment.task_id) == Task.id,
            col(Assignment.expires_at) > at,
            col(Assignment.counted),
        )
        .correlate(Task)
        .scalar_subquery()
    )
