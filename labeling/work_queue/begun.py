"""A task begun before: its lease has ended, and its draft waits."""

from functools import cache
from typing import Any

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from labeling.work_queue.queues import QUEUED_KINDS
from labeling.work_queue.room import has_room, live_leases
from storage.clock import now
from storage.core import ONE
from storage.tables import Assignment, AssignmentState, Task, TaskStatus


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
            col(Assignment.annotator_id) == bindparam("annotator_id"),
            col(Assignment.state).in_([AssignmentState.LEASED, AssignmentState.RELEASED]),
            col(Assignment.draft).is_not(None),
            col(Task.project_id) == bindparam("project_id"),
            Task.status == TaskStatus.READY,
            col(Task.kind).in_(QUEUED_KINDS),
            live_leases(bindparam("at")) < col(Task.overlap) - col(Task.judged),
        )
        .order_by(col(Assignment.draft_at).desc())
        .limit(ONE)
        .with_for_update(key_share=True, of=Task)
        .execution_options(populate_existing=True)
    )
