"""Where an annotator's look through a queue may begin: past thousands of tasks closed to them.

Who has judged all that comes first in a queue would have the query pass it by again at each task.
What is closed to an annotator stays closed, so the place of the first task that is not is kept, in
this process alone: for a time, and only where a look was slow and thousands lie before it. Tasks
that are ready again before that place wait, for that annotator, until the place is forgotten; so it
is as soon as nothing is found without it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, ColumnElement, Engine, and_, bindparam, func, select, text
from sqlmodel import Session

from storage.core import ONE, execute_core, table_of
from storage.tables import Task
from storage.tables.tasks import QUEUED_TASK

_TASK = table_of(Task)

#: seconds of a look after which its place is worth keeping
SLOW = 0.003
#: tasks of the place's own priority and policy that lie before it, at least
LEAST_PASSED = 1000
SECONDS_KEPT = 600.0
#: seconds after which a look that was slow for another reason may be looked into again
SECONDS_LEFT_ALONE = 60.0
_MOST_KEPT = 10_000


@dataclass(frozen=True)
class Key:
    """Name a look: an annotator's, through a pool of a project, in a strategy's order."""

    project_id: int
    annotator_id: int
    pool: str
    strategy: str


@dataclass(frozen=True)
class Place:
    """Hold a task's place in the order: the values of its leading columns, and its id."""

    values: tuple[int, ...]
    task_id: int

    def as_bound(self, number: int) -> dict[str, int]:
        """Return the values of the parameters of `parts_of` with that number."""
        bound = {f"place_{number}_{at}": value for at, value in enumerate(self.values)}
        return {**bound, f"place_{number}_id": self.task_id}


@dataclass
class _Kept:
    """Places by look; None where it was slow for another reason. Newest last."""

    places: dict[Key, tuple[float, Place | None]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


_kept: WeakKeyDictionary[Engine, _Kept] = WeakKeyDictionary()


def parts_of(leading: Sequence[tuple[str, bool]], number: int) -> list[ColumnElement[bool]]:
    """Return conditions that divide the queue, in its order, around what `Place` passes by.

    `leading` names the columns before the id, and whether each descends; `number` tells the place's
    parameters from those of another place in the same statement. First what comes before
    all of the place's own values, then what has them and no lesser id, then what comes after. Each
    is one range of the order's index.
    """
    columns = [_TASK.c[name] for name, _ in leading]
    values: list[BindParameter[int]] = [
        bindparam(f"place_{number}_{at}") for at in range(len(leading))
    ]
    same = [column == value for column, value in zip(columns, values, strict=True)]
    before, after = [], []
    for at, (_, descends) in enumerate(leading):
        greater, less = columns[at] > values[at], columns[at] < values[at]
        before.append(and_(*same[:at], greater if descends else less))
        after.append(and_(*same[:at], less if descends else greater))
    return [*before, and_(*same, _TASK.c.id >= bindparam(f"place_{number}_id")), *reversed(after)]


def known_place(session: Session, key: Key) -> Place | None:
    """Return where the look may begin, or None where it begins at the head."""
    found = _of(session).places.get(key)
    return found[1] if found and found[0] > time.monotonic() else None


def forget(session: Session, key: Key) -> None:
    """Begin at the head again."""
    kept = _of(session)
    with kept.lock:
        kept.places.pop(key, None)


def keep_place(
    session: Session, key: Key, leading: Sequence[tuple[str, bool]], is_open: ColumnElement[bool]
) -> None:
    """Find and keep the first task that is not closed to the annotator, with room or without.

    `is_open` says of a task that it is not; its parameter is `annotator_id`.
    """
    kept = _of(session)
    found = kept.places.get(key)
    if found and found[0] > time.monotonic():
        return
    place = _first_open(session, key, leading, is_open)
    if place is not None and _passed(session, key, leading, place) < LEAST_PASSED:
        place = None
    seconds = SECONDS_LEFT_ALONE if place is None else SECONDS_KEPT
    with kept.lock:
        kept.places.pop(key, None)
        kept.places[key] = time.monotonic() + seconds, place
        while len(kept.places) > _MOST_KEPT:
            del kept.places[next(iter(kept.places))]


def _of(session: Session) -> _Kept:
    engine = session.get_bind().engine
    found = _kept.get(engine)
    return found if found is not None else _kept.setdefault(engine, _Kept())


def _first_open(
    session: Session, key: Key, leading: Sequence[tuple[str, bool]], is_open: ColumnElement[bool]
) -> Place | None:
    columns = [(_TASK.c[name], descends) for name, descends in leading]
    statement = (
        select(*(column for column, _ in columns), _TASK.c.id)
        .where(*_of_queue(key), is_open)
        .order_by(*(column.desc() if down else column for column, down in columns), _TASK.c.id)
        .limit(ONE)
    )
    found = execute_core(session, statement, annotator_id=key.annotator_id).first()
    return Place(tuple(found[:-1]), found[-1]) if found is not None else None


def _passed(session: Session, key: Key, leading: Sequence[tuple[str, bool]], place: Place) -> int:
    same = [_TASK.c[name] == value for (name, _), value in zip(leading, place.values, strict=True)]
    passed = (
        select(_TASK.c.id)
        .where(*_of_queue(key), *same, _TASK.c.id < place.task_id)
        .limit(LEAST_PASSED)
        .subquery()
    )
    found: int = execute_core(session, select(func.count()).select_from(passed)).scalar_one()
    return found


def _of_queue(key: Key) -> list[Any]:
    return [text(QUEUED_TASK), _TASK.c.project_id == key.project_id, _TASK.c.pool == key.pool]
