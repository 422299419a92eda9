"""Which task comes next: open to the annotator, with room, first by the project's strategy."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import BindParameter, ColumnElement, bindparam, exists, text
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from labeling.labeling_settings import labeling_settings
from labeling.work_queue.room import count_submitted, has_room, live_leases, takes_room
from storage.clock import now
from storage.core import execute_core, table_of
from storage.tables import (
    Assignment,
    AssignmentState,
    PoolMember,
    Project,
    Task,
    TaskKind,
    TaskStatus,
)
from storage.tables.tasks import (
    CLOSED_ASSIGNMENT,
    OWN_TASK,
    QUEUED_TASK,
    SPECIAL_TASK,
)

__all__ = [
    "QUEUED_KINDS",
    "begun",
    "claim",
    "count_submitted",
    "has_room",
    "queued_statement",
    "takes_room",
]

QUEUED_KINDS = (TaskKind.ORDINARY, TaskKind.ARENA)

# What becomes of tasks that another transaction holds: passed over, waited for, or only looked at.
Lock = Literal["skip", "wait", "none"]

_ANNOTATOR_ID: BindParameter[int] = bindparam("annotator_id")
_PROJECT_ID: BindParameter[int] = bindparam("project_id")
_AT: BindParameter[datetime] = bindparam("at")

# An index follows each of these orders: storage/tables/tasks.py.
_ORDERS: dict[str, tuple[Any, ...]] = {
    "priority": (
        col(Task.priority).desc(),
        col(Task.policy_id).desc(),
        col(Task.id),
    ),
    "breadth": (
        col(Task.priority).desc(),
        col(Task.judged),
        col(Task.policy_id).desc(),
        col(Task.id),
    ),
    "depth": (
        col(Task.priority).desc(),
        col(Task.judged).desc(),
        col(Task.policy_id).desc(),
        col(Task.id),
    ),
}


def claim(
    session: Session, *, project_id: int, annotator_id: int, kinds: tuple[TaskKind, ...]
) -> Task | None:
    """Return the first task of these kinds that has room and is not closed to the annotator.

    It is locked until the transaction ends. Tasks for this annotator alone come first; ordinary and
    arena tasks follow the project's strategy, in the annotator's pool and in none; the other kinds
    follow priority, then age. None where there is no such task. The session must be writing.
    """
    values = {"annotator_id": annotator_id, "project_id": project_id}
    own = _first(session, lambda: _own_statement(kinds), values)
    if own is not None:
        return own
    special = tuple(kind for kind in kinds if kind not in QUEUED_KINDS)
    if special:
        found = _first(session, lambda: _special_statement(special), values)
        if found is not None:
            return found
    queued = tuple(kind for kind in kinds if kind in QUEUED_KINDS)
    return _claim_queued(session, project_id, annotator_id, queued) if queued else None


def begun(session: Session, *, project_id: int, annotator_id: int) -> Task | None:
    """Return the ordinary or arena task that the annotator has a draft of, locked, if it has room.

    Its lease expired or was released; the newest draft comes first. The session must be writing.
    """
    values = {"annotator_id": annotator_id, "project_id": project_id, "at": now()}
    task: Task | None = session.exec(_begun_statement(), params=values).first()
    return task if task is not None and has_room(session, task=task) else None


@cache
def _begun_statement() -> Any:
    return (
        select(Task)
        .join(Assignment, col(Assignment.task_id) == col(Task.id))
        .where(
            col(Assignment.annotator_id) == _ANNOTATOR_ID,
            col(Assignment.state).in_([AssignmentState.LEASED, AssignmentState.RELEASED]),
            col(Assignment.draft).is_not(None),
            col(Task.project_id) == _PROJECT_ID,
            Task.status == TaskStatus.READY,
            col(Task.kind).in_(QUEUED_KINDS),
            live_leases(_AT) < col(Task.overlap) - col(Task.judged),
        )
        .order_by(col(Assignment.draft_at).desc())
        .limit(1)
        .with_for_update(key_share=True, of=Task)
        .execution_options(populate_existing=True)
    )


def _claim_queued(
    session: Session, project_id: int, annotator_id: int, kinds: tuple[TaskKind, ...]
) -> Task | None:
    strategy = labeling_settings(session.get_one(Project, project_id)).assignment.strategy
    queues = _Queues(session, project_id, annotator_id, kinds, strategy)
    pools = _pools(session, project_id, annotator_id)
    # Where one queue is all there is, it need not be looked into before it is taken from.
    named = (
        [(pools[0], False)] if strategy != "breadth" and len(pools) == 1 else queues.order(pools)
    )
    found = next((task for queue in named if (task := queues.take(queue))), None)
    if found is not None or session.get_bind().dialect.name == "sqlite":
        return found
    # A task that another's claim holds for an instant may have room for one more: before saying
    # that nothing is left, wait for it. SQLite has one writer at a time, and nobody to wait for.
    return next((task for queue in named if (task := queues.take(queue, "wait"))), None)


@dataclass(frozen=True)
class _Queues:
    """Look into the queues of an annotator: a pool's tasks, or (True) those that nobody holds."""

    session: Session
    project_id: int
    annotator_id: int
    kinds: tuple[TaskKind, ...]
    strategy: str

    def order(self, pools: list[str]) -> list[tuple[str, bool]]:
        """Return the queues that have a task, by the place of their first; nothing is locked."""
        places = []
        for pool in pools:
            for held_by_nobody in (True, False) if self.strategy == "breadth" else (False,):
                queue = (pool, held_by_nobody)
                values = {**self._values(pool), "at": now()}
                task = self.session.exec(self._statement(queue, "none"), params=values).first()
                if task is not None:
                    places.append((self._place(task, held_by_nobody), queue))
                if held_by_nobody and task is not None and task.judged == 0:
                    break
        return [queue for _, queue in sorted(places)]

    def take(self, queue: tuple[str, bool], lock: Lock = "skip") -> Task | None:
        """Return the first task of the queue that can be locked and has room."""
        return _first(self.session, lambda: self._statement(queue, lock), self._values(queue[0]))

    def _statement(self, queue: tuple[str, bool], lock: Lock) -> Any:
        return _queued_statement(self.kinds, self.strategy, queue[1], lock)

    def _values(self, pool: str) -> dict[str, Any]:
        return {"annotator_id": self.annotator_id, "project_id": self.project_id, "pool": pool}

    def _place(self, task: Task, held_by_nobody: bool) -> tuple[int, ...]:
        # In breadth, a task that somebody holds will soon have a judgment more than it has now.
        soon = task.judged + (not held_by_nobody)
        judged = {"priority": 0, "breadth": soon, "depth": -task.judged}[self.strategy]
        return (-task.priority, judged, not held_by_nobody, -task.policy_id, task.id or 0)


@cache
def _queued_statement(
    kinds: tuple[TaskKind, ...], strategy: str, held_by_nobody: bool, lock: Lock
) -> Any:
    return queued_statement(
        _ANNOTATOR_ID,
        _PROJECT_ID,
        kinds,
        strategy,
        bindparam("pool"),
        *([live_leases(_AT) == 0] if held_by_nobody else []),
        at=_AT,
        lock=lock,
    )


def queued_statement(
    annotator_id: int | BindParameter[int],
    project_id: int | BindParameter[int],
    kinds: tuple[TaskKind, ...],
    strategy: str,
    pool: str | BindParameter[str],
    *conditions: ColumnElement[bool],
    at: datetime | BindParameter[datetime] | None = None,
    lock: Lock = "skip",
) -> Any:
    """Return the SELECT of the next ordinary or arena task of a pool, locked as `lock` says."""
    statement = select(Task).where(
        text(QUEUED_TASK), Task.project_id == project_id, Task.pool == pool
    )
    if set(kinds) != set(QUEUED_KINDS):
        statement = statement.where(col(Task.kind).in_(kinds))
    return _open_to(annotator_id, statement.where(*conditions), _ORDERS[strategy], at, lock)


@cache
def _own_statement(kinds: tuple[TaskKind, ...]) -> Any:
    statement = select(Task).where(
        text(OWN_TASK),
        col(Task.for_annotator_id) == _ANNOTATOR_ID,
        col(Task.project_id) == _PROJECT_ID,
        col(Task.kind).in_(kinds),
    )
    order = (col(Task.priority).desc(), col(Task.id))
    return _open_to(_ANNOTATOR_ID, statement, order, _AT)


@cache
def _special_statement(kinds: tuple[TaskKind, ...]) -> Any:
    statement = select(Task).where(
        text(SPECIAL_TASK), col(Task.project_id) == _PROJECT_ID, col(Task.kind).in_(kinds)
    )
    order = (col(Task.priority).desc(), col(Task.id))
    return _open_to(_ANNOTATOR_ID, statement, order, _AT)


def _open_to(
    annotator_id: int | BindParameter[int],
    statement: Any,
    order: tuple[Any, ...],
    at: datetime | BindParameter[datetime] | None = None,
    lock: Lock = "skip",
) -> Any:
    at = now() if at is None else at
    # In this order: the first is answered by an index alone, and is what most tasks fail.
    statement = (
        statement.where(
            ~_closed_to(annotator_id),
            live_leases(at) < col(Task.overlap) - col(Task.judged),
        )
        .order_by(*order)
        .limit(1)
        .execution_options(populate_existing=True)
    )
    if lock == "none":
        return statement
    return statement.with_for_update(skip_locked=lock == "skip", key_share=True, of=Task)


def _closed_to(annotator_id: int | BindParameter[int]) -> ColumnElement[bool]:
    # A plain `=` would let SQLite take the unique key of task and annotator, and then read the row
    # for its state; so it stays within the small index of what is closed to this annotator.
    same_task = col(Assignment.task_id).between(Task.id, Task.id)
    return exists().where(
        text(CLOSED_ASSIGNMENT), col(Assignment.annotator_id) == annotator_id, same_task
    )


def _first(session: Session, statement: Callable[[], Any], values: dict[str, Any]) -> Task | None:
    while True:
        task: Task | None = session.exec(statement(), params={**values, "at": now()}).first()
        # PostgreSQL locks the row after it has counted: another's lease, committed in between, is
        # seen only by a second statement. Each turn of this loop is another annotator's success.
        if task is None or has_room(session, task=task):
            return task
        task.judged = count_submitted(session, task=task)
        session.flush()


def _pools(session: Session, project_id: int, annotator_id: int) -> list[str]:
    own = execute_core(
        session, _pool_statement(), annotator_id=annotator_id, project_id=project_id
    ).scalar()
    return [own, ""] if own else [""]


@cache
def _pool_statement() -> Any:
    member = table_of(PoolMember)
    return select_columns(member.c.pool).where(
        member.c.project_id == _PROJECT_ID, member.c.account_id == _ANNOTATOR_ID
    )
