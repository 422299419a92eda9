"""Which task comes next: open to the annotator, with room, first by the project's strategy."""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, bindparam, text
from sqlmodel import Session, col, select

from labeling.labeling_settings import labeling_settings
from labeling.work_queue.due import Due, due_to
from labeling.work_queue.open_tasks import first_with_room, open_to
from labeling.work_queue.queues import QUEUED_KINDS, Queues
from storage.core import keep_plans
from storage.tables import Project, Task, TaskKind
from storage.tables.tasks import OWN_TASK, SPECIAL_TASK

_ANNOTATOR_ID: BindParameter[int] = bindparam("annotator_id")
_PROJECT_ID: BindParameter[int] = bindparam("project_id")
_AT: BindParameter[datetime] = bindparam("at")


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
    keep_plans(session)
    due = due or due_to(session, project_id=project_id, annotator_id=annotator_id)
    values = {"annotator_id": annotator_id, "project_id": project_id}
    own = first_with_room(session, lambda: _own_statement(kinds), values) if due.own else None
    if own is not None:
        return own
    special = tuple(kind for kind in kinds if kind not in QUEUED_KINDS)
    if special:
        found = first_with_room(session, lambda: _special_statement(special), values)
        if found is not None:
            return found
    queued = tuple(kind for kind in kinds if kind in QUEUED_KINDS)
    return _claim_queued(session, project_id, annotator_id, queued, due.pool) if queued else None


def _claim_queued(
    session: Session, project_id: int, annotator_id: int, kinds: tuple[TaskKind, ...], pool: str
) -> Task | None:
    strategy = labeling_settings(session.get_one(Project, project_id)).assignment.strategy
    queues = Queues(session, project_id, annotator_id, kinds, strategy)
    named = queues.of([pool, ""] if pool else [""])
    found = next((task for queue in named if (task := queues.take(queue))), None)
    if found is not None or session.get_bind().dialect.name == "sqlite":
        return found
    # A task that another's claim holds for an instant may have room for one more: before saying
    # that nothing is left, wait for it. SQLite has one writer at a time, and nobody to wait for.
    return next((task for queue in named if (task := queues.take(queue, "wait"))), None)


@cache
def _own_statement(kinds: tuple[TaskKind, ...]) -> Any:
    statement = select(Task).where(
        text(OWN_TASK),
        col(Task.for_annotator_id) == _ANNOTATOR_ID,
        col(Task.project_id) == _PROJECT_ID,
        col(Task.kind).in_(kinds),
    )
    order = (col(Task.priority).desc(), col(Task.id))
    return open_to(_ANNOTATOR_ID, statement, order, _AT)


@cache
def _special_statement(kinds: tuple[TaskKind, ...]) -> Any:
    statement = select(Task).where(
        text(SPECIAL_TASK), col(Task.project_id) == _PROJECT_ID, col(Task.kind).in_(kinds)
    )
    order = (col(Task.priority).desc(), col(Task.id))
    return open_to(_ANNOTATOR_ID, statement, order, _AT)
