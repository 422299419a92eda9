"""What there may be for an annotator, in one question: most of it is nothing, at most looks."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, exists, select, text
from sqlmodel import Session

from storage.clock import now
from storage.core import ONE, execute_core, table_of
from storage.tables import (
    Assignment,
    AssignmentState,
    PoolMember,
    Task,
    TaskKind,
    TaskStatus,
)
from storage.tables.tasks import OWN_TASK, SPECIAL_TASK

_ASSIGNMENT, _TASK = table_of(Assignment), table_of(Task)
_CLOSED = (AssignmentState.SUBMITTED, AssignmentState.SKIPPED, AssignmentState.FLAGGED)


@dataclass(frozen=True)
class Due:
    """Say what to look for, and what not.

    `held_id` is the assignment of a live lease of their own. `own`: tasks for them alone wait;
    `begun`: a draft does; `tested`: the project has a qualification. `pool` is theirs, or "".
    `turn` changes with each task that they put behind them: it is the newest of their closed
    assignments, as a count would be read from a whole history.
    """

    held_id: int | None
    own: bool
    begun: bool
    tested: bool
    pool: str
    turn: int


def due_to(
    session: Session, *, project_id: int, annotator_id: int, at: datetime | None = None
) -> Due:
    """Return what may be due to the (locked) annotator; a look must still find and lock it."""
    values = {"project_id": project_id, "annotator_id": annotator_id, "at": at or now()}
    found = list(execute_core(session, _statement(), **values).one())
    held_id, own, begun, tested, pool = found[:5]
    newest = found[5:]
    turn = max((each for each in newest if each is not None), default=0)
    return Due(held_id, bool(own), bool(begun), bool(tested), pool or "", turn)


@cache
def _statement() -> Any:
    return select(
        _held().scalar_subquery(),
        _own(),
        _begun(),
        _tested(),
        _pool().scalar_subquery(),
        *(_newest(state).scalar_subquery() for state in _CLOSED),
    )


def _held() -> Any:
    return (
        select(_ASSIGNMENT.c.id)
        .join(_TASK, _TASK.c.id == _ASSIGNMENT.c.task_id)
        .where(
            _ASSIGNMENT.c.annotator_id == bindparam("annotator_id"),
            _ASSIGNMENT.c.state == AssignmentState.LEASED,
            _ASSIGNMENT.c.expires_at > bindparam("at"),
            _TASK.c.project_id == bindparam("project_id"),
            _TASK.c.status == TaskStatus.READY,
        )
        .order_by(_ASSIGNMENT.c.id)
        .limit(ONE)
    )


def _own() -> Any:
    return exists().where(
        text(OWN_TASK),
        _TASK.c.for_annotator_id == bindparam("annotator_id"),
        _TASK.c.project_id == bindparam("project_id"),
    )


def _begun() -> Any:
    return exists().where(
        _ASSIGNMENT.c.annotator_id == bindparam("annotator_id"),
        _ASSIGNMENT.c.draft.is_not(None),
        _ASSIGNMENT.c.state.in_([AssignmentState.LEASED, AssignmentState.RELEASED]),
    )


def _tested() -> Any:
    return exists().where(
        text(SPECIAL_TASK),
        _TASK.c.project_id == bindparam("project_id"),
        _TASK.c.kind == TaskKind.QUALIFICATION,
    )


def _pool() -> Any:
    member = table_of(PoolMember)
    return select(member.c.pool).where(
        member.c.project_id == bindparam("project_id"),
        member.c.account_id == bindparam("annotator_id"),
    )


def _newest(state: AssignmentState) -> Any:
    return (
        select(_ASSIGNMENT.c.id)
        .where(
            _ASSIGNMENT.c.annotator_id == bindparam("annotator_id"), _ASSIGNMENT.c.state == state
        )
        .order_by(_ASSIGNMENT.c.id.desc())
        .limit(ONE)
    )
