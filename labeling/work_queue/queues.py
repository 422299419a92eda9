"""The queues of a project: each pool's ordinary and arena tasks, in the strategy's order.

In breadth a pool has two, the tasks that nobody holds and all of them: which of their first comes
first depends on both. A look is one statement whatever it must look around (see `scan_start`), as
each statement is a way to PostgreSQL and back.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, bindparam, literal_column, text, union_all
from sqlmodel import Session, col, select

from labeling.work_queue import scan_start
from labeling.work_queue.open_tasks import Lock, closed_to, first_with_room, open_to
from labeling.work_queue.room import live_leases
from labeling.work_queue.scan_start import Key, Place, forget, keep_place, known_place, parts_of
from storage.clock import now
from storage.core import ONE, execute_core, table_of
from storage.tables import Task, TaskKind
from storage.tables.tasks import QUEUED_TASK

QUEUED_KINDS = (TaskKind.ORDINARY, TaskKind.ARENA)

_ANNOTATOR_ID: BindParameter[int] = bindparam("annotator_id")
_PROJECT_ID: BindParameter[int] = bindparam("project_id")
_AT: BindParameter[datetime] = bindparam("at")
_TASK = table_of(Task)

# An index follows each of these orders: storage/tables/tasks.py.
# Columns before the id, which ascends, and whether each of them descends.
_LEADING: dict[str, tuple[tuple[str, bool], ...]] = {
    "priority": (("priority", True), ("policy_id", True)),
    "breadth": (("priority", True), ("judged", False), ("policy_id", True)),
    "depth": (("priority", True), ("judged", True), ("policy_id", True)),
}


class Queue(NamedTuple):
    """Name a pool's tasks ("" is nobody's pool): all, or only those that nobody holds."""

    pool: str
    held_by_nobody: bool


class _Part(NamedTuple):
    """Say which queue a statement looks through; `number` tells its parameters from others'."""

    held_by_nobody: bool
    from_place: bool
    number: int


@dataclass(frozen=True)
class Queues:
    """Look into the queues that an annotator may be given tasks from. The session is writing."""

    session: Session
    project_id: int
    annotator_id: int
    kinds: tuple[TaskKind, ...]
    strategy: str

    def of(self, pools: Sequence[str]) -> list[Queue]:
        """Return the queues that may have a task, that with the first task first."""
        if self.strategy != "breadth" and len(pools) == 1:
            # One queue is all there is: it need not be looked into before it is taken from.
            return [Queue(pools[0], held_by_nobody=False)]
        both = (True, False) if self.strategy == "breadth" else (False,)
        queues = [Queue(pool, held_by_nobody) for pool in pools for held_by_nobody in both]
        known = {pool: known_place(self.session, self._key(pool)) for pool in pools}
        places = self._places(queues, known)
        empty = {pool for pool in pools if known[pool] and not any(q.pool == pool for q in places)}
        if empty:
            for pool in empty:
                forget(self.session, self._key(pool))
            places |= self._places([q for q in queues if q.pool in empty], dict.fromkeys(empty))
        return sorted(places, key=places.__getitem__)

    def take(self, queue: Queue, lock: Lock = "skip") -> Task | None:
        """Return the first task of the queue that can be locked and has room."""
        key = self._key(queue.pool)
        place = known_place(self.session, key)
        if place is not None:
            task = self._take(queue, lock, place)
            if task is not None:
                return task
            forget(self.session, key)
        with self._keeping_places([queue.pool] if lock != "wait" else []):
            return self._take(queue, lock, None)

    def _take(self, queue: Queue, lock: Lock, place: Place | None) -> Task | None:
        part = _Part(queue.held_by_nobody, place is not None, 0)
        statement = partial(_take_statement, self.kinds, self.strategy, part, lock)
        return first_with_room(self.session, statement, self._values([(queue.pool, place)]))

    def _places(
        self, queues: Sequence[Queue], known: dict[str, Place | None]
    ) -> dict[Queue, tuple[int, ...]]:
        """Return the place of each queue's first task; nothing is locked."""
        pools = list(known)
        parts = tuple(
            _Part(queue.held_by_nobody, known[queue.pool] is not None, pools.index(queue.pool))
            for queue in queues
        )
        values = self._values([(pool, known[pool]) for pool in pools])
        with self._keeping_places([pool for pool in pools if known[pool] is None]):
            statement = _firsts_statement(self.kinds, self.strategy, parts)
            rows = execute_core(self.session, statement, **values, at=now()).all()
        firsts = ((queues[number], place) for number, *place in map(list, rows))
        return {queue: self._place(queue, *place) for queue, place in firsts}

    def _place(
        self, queue: Queue, priority: int, judged: int, policy_id: int, task_id: int
    ) -> tuple[int, ...]:
        # In breadth, a task that somebody holds will soon have a judgment more than it has now.
        soon = judged + (not queue.held_by_nobody)
        judged = {"priority": 0, "breadth": soon, "depth": -judged}[self.strategy]
        return (-priority, judged, not queue.held_by_nobody, -policy_id, task_id)

    @contextmanager
    def _keeping_places(self, pools: Sequence[str]) -> Iterator[None]:
        """Keep where the next look through these pools may begin, if this one is slow."""
        # SQLite answers within the process; that it waited for a core says nothing of the query.
        sqlite = self.session.get_bind().dialect.name == "sqlite"
        clock = time.thread_time if sqlite else time.perf_counter
        began = clock()
        yield
        if clock() - began > scan_start.SLOW:
            for pool in pools:
                leading = _LEADING[self.strategy]
                keep_place(self.session, self._key(pool), leading, ~closed_to(_ANNOTATOR_ID))

    def _key(self, pool: str) -> Key:
        return Key(self.project_id, self.annotator_id, pool, self.strategy)

    def _values(self, pools: Sequence[tuple[str, Place | None]]) -> dict[str, Any]:
        values: dict[str, Any] = {
            "annotator_id": self.annotator_id, "project_id": self.project_id,
        }  # fmt: skip
        for number, (pool, place) in enumerate(pools):
            values[f"pool_{number}"] = pool
            values |= place.as_bound(number) if place else {}
        return values


@cache
def _take_statement(kinds: tuple[TaskKind, ...], strategy: str, part: _Part, lock: Lock) -> Any:
    looks = _looks(select(Task), kinds, strategy, part, lock)
    if len(looks) == 1:
        return looks[0]
    return select(Task).from_statement(_first_of(looks)).execution_options(populate_existing=True)


@cache
def _firsts_statement(kinds: tuple[TaskKind, ...], strategy: str, parts: tuple[_Part, ...]) -> Any:
    """Return the SELECT of each queue's number, and its first task's place."""
    columns = [_TASK.c[name] for name in ("priority", "judged", "policy_id", "id")]
    firsts = []
    for number, part in enumerate(parts):
        first = _first_of(_looks(select(*columns), kinds, strategy, part, "none")).subquery()
        firsts.append(select(literal_column(str(number)).label("queue"), *first.c))
    return union_all(*firsts)


def _first_of(looks: Sequence[Any]) -> Any:
    """Return the SELECT of what the first of the looks finds that finds anything.

    Both databases look through the parts of a `UNION ALL` in order, and stop where it is limited:
    what the first finds is locked, and the others are not asked.
    """
    return union_all(*(select(look.subquery()) for look in looks)).limit(ONE)


def _looks(
    selected: Any, kinds: tuple[TaskKind, ...], strategy: str, part: _Part, lock: Lock
) -> list[Any]:
    """Return a queue's SELECT, or those of its parts around a place, in their order."""
    of_leases = [live_leases(_AT) == 0] if part.held_by_nobody else []
    around = parts_of(_LEADING[strategy], part.number) if part.from_place else []
    return [
        _queued(
            selected, _ANNOTATOR_ID, _PROJECT_ID, kinds, strategy, bindparam(f"pool_{part.number}"),
            *of_leases, *conditions, at=_AT, lock=lock,
        )
        for conditions in ([[one] for one in around] or [[]])
    ]  # fmt: skip


def queued_statement(
    annotator_id: int, project_id: int, kinds: tuple[TaskKind, ...], strategy: str, pool: str
) -> Any:
    """Return the SELECT of the next ordinary or arena task of a pool, which it locks."""
    given = annotator_id, project_id, kinds, strategy, pool
    return _queued(select(Task), *given, at=now(), lock="skip")


def _queued(
    selected: Any,
    annotator_id: int | BindParameter[int],
    project_id: int | BindParameter[int],
    kinds: tuple[TaskKind, ...],
    strategy: str,
    pool: str | BindParameter[str],
    *conditions: ColumnElement[bool],
    at: datetime | BindParameter[datetime],
    lock: Lock,
) -> Any:
    statement = selected.where(text(QUEUED_TASK), Task.project_id == project_id, Task.pool == pool)
    if set(kinds) != set(QUEUED_KINDS):
        statement = statement.where(col(Task.kind).in_(kinds))
    return open_to(annotator_id, statement.where(*conditions), _order_of(strategy), at, lock)


def _order_of(strategy: str) -> tuple[Any, ...]:
    leading = [_TASK.c[name].desc() if down else _TASK.c[name] for name, down in _LEADING[strategy]]
    return *leading, _TASK.c.id
