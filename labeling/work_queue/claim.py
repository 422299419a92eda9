"""Which task comes next: open to the annotator, with room, first by the project's strategy."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, Literal

from sqlalchemy import BindParameter, ColumnElement, bindparam, exists, text
from sqlmodel import Session, col, select

from labeling.labeling_settings import labeling_settings
from labeling.work_queue import scan_start
from labeling.work_queue.due import Due, due_to
from labeling.work_queue.room import count_submitted, has_room, live_leases, takes_room
from labeling.work_queue.scan_start import Key, forget, keep_place, known_place, parts_of
from storage.clock import now
from storage.core import table_of
from storage.tables import (
    Assignment,
    Project,
    Task,
    TaskKind,
)
from storage.tables.tasks import (
    CLOSED_ASSIGNMENT,
    OWN_TASK,
    QUEUED_TASK,
    SPECIAL_TASK,
)

__all__ = [
    "QUEUED_KINDS",
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
# Columns before the id, which ascends, and whether each of them descends.
_LEADING: dict[str, tuple[tuple[str, bool], ...]] = {
    "priority": (("priority", True), ("policy_id", True)),
    "breadth": (("priority", True), ("judged", False), ("policy_id", True)),
    "depth": (("priority", True), ("judged", True), ("policy_id", True)),
}


def claim(
    session: Session,
    *,
    project_id: int,
    annotator_id: int,
    kinds: tuple[TaskKind, ...],
    due: Due | None = None,
) -> Task | None:
    """Return the first task of these kinds that has room and is not closed to the annotator.

    It is locked until the transaction ends. Tasks for this annotator alone come first; ordinary and
    arena tasks follow the project's strategy, in the annotator's pool and in none; the other kinds
    follow priority, then age. None where there is no such task. `due` is what `due_to` said in this
    transaction, where it was asked. The session must be writing.
    """
    due = due or due_to(session, project_id=project_id, annotator_id=annotator_id)
    values = {"annotator_id": annotator_id, "project_id": project_id}
    own = _first(session, lambda: _own_statement(kinds), values) if due.own else None
    if own is not None:
        return own
    special = tuple(kind for kind in kinds if kind not in QUEUED_KINDS)
    if special:
        found = _first(session, lambda: _special_statement(special), values)
        if found is not None:
            return found
    queued = tuple(kind for kind in kinds if kind in QUEUED_KINDS)
    return _claim_queued(session, project_id, annotator_id, queued, due.pool) if queued else None


def _claim_queued(
    session: Session, project_id: int, annotator_id: int, kinds: tuple[TaskKind, ...], pool: str
) -> Task | None:
    strategy = labeling_settings(session.get_one(Project, project_id)).assignment.strategy
    queues = _Queues(session, project_id, annotator_id, kinds, strategy)
    pools = [pool, ""] if pool else [""]
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
                task = self._look(queue, "none")
                if task is not None:
                    places.append((self._place(task, held_by_nobody), queue))
                if held_by_nobody and task is not None and task.judged == 0:
                    break
        return [queue for _, queue in sorted(places)]

    def take(self, queue: tuple[str, bool], lock: Lock = "skip") -> Task | None:
        """Return the first task of the queue that can be locked and has room."""
        return self._look(queue, lock)

    def _look(self, queue: tuple[str, bool], lock: Lock) -> Task | None:
        key = Key(self.project_id, self.annotator_id, queue[0], self.strategy)
        leading = _LEADING[self.strategy]
        place = known_place(self.session, key)
        if place is not None:
            for part in range(2 * len(leading) + 1):
                task = self._first(queue, lock, part, place.as_bound())
                if task is not None:
                    return task
            forget(self.session, key)
        # SQLite answers within the process; that it waited for a core says nothing of the query.
        sqlite = self.session.get_bind().dialect.name == "sqlite"
        clock = time.thread_time if sqlite else time.perf_counter
        began = clock()
        task = self._first(queue, lock, None, {})
        if lock != "wait" and clock() - began > scan_start.SLOW:
            keep_place(self.session, key, leading, ~_closed_to(_ANNOTATOR_ID))
        return task

    def _first(
        self, queue: tuple[str, bool], lock: Lock, part: int | None, bound: dict[str, int]
    ) -> Task | None:
        values = {
            "annotator_id": self.annotator_id,
            "project_id": self.project_id,
            "pool": queue[0],
            **bound,
        }
        statement = partial(_queued_statement, self.kinds, self.strategy, queue[1], lock, part)
        if lock != "none":
            return _first(self.session, statement, values)
        found: Task | None = self.session.exec(statement(), params={**values, "at": now()}).first()
        return found

    def _place(self, task: Task, held_by_nobody: bool) -> tuple[int, ...]:
        # In breadth, a task that somebody holds will soon have a judgment more than it has now.
        soon = task.judged + (not held_by_nobody)
        judged = {"priority": 0, "breadth": soon, "depth": -task.judged}[self.strategy]
        return (-task.priority, judged, not held_by_nobody, -task.policy_id, task.id or 0)


@cache
def _queued_statement(
    kinds: tuple[TaskKind, ...],
    strategy: str,
    held_by_nobody: bool,
    lock: Lock,
    part: int | None,
) -> Any:
    return queued_statement(
        _ANNOTATOR_ID,
        _PROJECT_ID,
        kinds,
        strategy,
        bindparam("pool"),
        *([live_leases(_AT) == 0] if held_by_nobody else []),
        *([] if part is None else [parts_of(_LEADING[strategy])[part]]),
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
    return _open_to(annotator_id, statement.where(*conditions), _order_of(strategy), at, lock)


def _order_of(strategy: str) -> tuple[Any, ...]:
    task = table_of(Task)
    leading = [task.c[name].desc() if down else task.c[name] for name, down in _LEADING[strategy]]
    return *leading, task.c.id


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
