"""Room: how many more annotators a task wants, by who has judged it and who holds it."""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, func, or_, select, text
from sqlmodel import Session

from storage.clock import now
from storage.core import execute_core, table_of
from storage.tables import Assignment, AssignmentState, Task
from storage.tables.tasks import LEASED_ASSIGNMENT

#: states of a task that its annotator put aside
PUT_ASIDE = (AssignmentState.SKIPPED, AssignmentState.FLAGGED)
_ASSIGNMENT = table_of(Assignment)
_TASK = table_of(Task)


def takes_room(at: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Return the condition under which an assignment counts towards its task's overlap."""
    return and_(
        _ASSIGNMENT.c.counted,
        or_(
            _ASSIGNMENT.c.state == AssignmentState.SUBMITTED,
            and_(_ASSIGNMENT.c.state == AssignmentState.LEASED, _ASSIGNMENT.c.expires_at > at),
        ),
    )


def has_room(session: Session, *, task: Task, without_id: int | None = None) -> bool:
    """Say whether the (locked) task wants one more annotator, not counting `without_id`'s row."""
    found = execute_core(
        session, _taken_statement(), task_id=task.id, at=now(), without_id=without_id or 0
    )
    taken: int = found.scalar_one()
    return taken < task.overlap


# SQLAlchemy takes several times as long to build a statement as to run it: those that every submit
# needs are built once, their values bound at each use.
@cache
def _taken_statement() -> Any:
    return (
        select(func.count())
        .select_from(_ASSIGNMENT)
        .where(
            _ASSIGNMENT.c.task_id == bindparam("task_id"),
            takes_room(bindparam("at")),
            _ASSIGNMENT.c.id != bindparam("without_id"),
        )
    )


def count_submitted(session: Session, *, task: Task) -> int:
    """Return how many have submitted the task of those who count towards its overlap."""
    found: int = execute_core(session, _submitted_statement(), task_id=task.id).scalar_one()
    return found


@cache
def _submitted_statement() -> Any:
    return (
        select(func.count())
        .select_from(_ASSIGNMENT)
        .where(
            _ASSIGNMENT.c.task_id == bindparam("task_id"),
            _ASSIGNMENT.c.state == AssignmentState.SUBMITTED,
            _ASSIGNMENT.c.counted,
        )
    )


def live_leases(at: datetime | BindParameter[datetime]) -> Any:
    """Return the subquery that counts the leases of a task that take room at that time."""
    return (
        select(func.count())
        .select_from(_ASSIGNMENT)
        .where(
            text(LEASED_ASSIGNMENT),
            _ASSIGNMENT.c.task_id == _TASK.c.id,
            _ASSIGNMENT.c.expires_at > at,
            _ASSIGNMENT.c.counted,
        )
        .correlate(_TASK)
        .scalar_subquery()
    )
