"""A task that is open to an annotator: with room, and not one that they have put behind them."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BindParameter, ColumnElement, exists, text
from sqlmodel import Session, col

from labeling.work_queue.room import count_submitted, has_room, live_leases
from storage.clock import now
from storage.core import ONE
from storage.tables import Assignment, Task
from storage.tables.tasks import CLOSED_ASSIGNMENT

# What becomes of tasks that another transaction holds: passed over, waited for, or only looked at.
Lock = Literal["skip", "wait", "none"]


def open_to(
    annotator_id: int | BindParameter[int],
    statement: Any,
    order: tuple[Any, ...],
    at: datetime | BindParameter[datetime],
    lock: Lock = "skip",
) -> Any:
    """Return the statement with its first task that is open to the annotator, locked as told."""
    # In this order: the first is answered by an index alone, and is what most tasks fail.
    statement = (
        statement.where(
            ~closed_to(annotator_id),
            live_leases(at) < col(Task.overlap) - col(Task.judged),
        )
        .order_by(*order)
        .limit(ONE)
        .execution_options(populate_existing=True)
    )
    if lock == "none":
        return statement
    return statement.with_for_update(skip_locked=lock == "skip", key_share=True, of=Task)


def closed_to(annotator_id: int | BindParameter[int]) -> ColumnElement[bool]:
    """Return the condition under which an annotator has put a task behind them."""
    # A plain `=` would let SQLite take the unique key of task and annotator, and then read the row
    # for its state; so it stays within the small index of what is closed to this annotator.
    same_task = col(Assignment.task_id).between(Task.id, Task.id)
    return exists().where(
        text(CLOSED_ASSIGNMENT), col(Assignment.annotator_id) == annotator_id, same_task
    )


def first_with_room(
    session: Session, statement: Callable[[], Any], values: dict[str, Any]
) -> Task | None:
    """Return the (locked) task that the statement finds, once it is sure to have room."""
    while True:
        task: Task | None = session.scalars(statement(), {**values, "at": now()}).first()
        # PostgreSQL locks the row after it has counted: another's lease, committed in between, is
        # seen only by a second statement. Each turn of this loop is another annotator's success.
        if task is None or has_room(session, task=task):
            return task
        task.judged = count_submitted(session, task=task)
        session.flush()
