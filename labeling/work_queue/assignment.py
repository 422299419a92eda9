"""Lend tasks: never above a task's overlap, never twice to one annotator, and only for a time."""

from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

from sqlalchemy import bindparam, func, text
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from labeling.work_queue.begun import begun
from labeling.work_queue.claim import claim
from labeling.work_queue.due import Due, due_to
from labeling.work_queue.locks import lock_annotator, lock_annotator_in, lock_own, lock_task
from labeling.work_queue.queues import QUEUED_KINDS
from labeling.work_queue.room import has_room, takes_room
from labeling.work_queue.shown import AssignedTask, display_order, shown_to
from storage.clock import now
from storage.core import ONE, execute_core, insert_row, keep_plans, table_of
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Judgment,
    Project,
    Task,
    TaskCompletion,
    TaskStatus,
)
from storage.tables.tasks import FIRST_JUDGMENT

__all__ = [
    "AssignedTask",
    "claim",
    "display_order",
    "has_room",
    "lock_annotator",
    "lock_own",
    "lock_task",
    "next_assignment",
    "prolong",
    "release_assignments",
    "shown_to",
    "takes_room",
]


def next_assignment(
    session: Session, *, project_id: int, annotator_id: int, minutes: float
) -> AssignedTask | None:
    """Lend the annotator a task for `minutes`, or return None where none is left for them.

    A live lease of their own comes back first, prolonged; then what the mixture has for them (a
    qualification, gold or repeated task); then a task of which they have a draft, as long as it has
    room; then an ordinary or arena task by the project's strategy. An annotator at the project's
    cap gets None. The session must be writing. Raises `NotAllowed` (also `NotQualified`),
    `NotFound`.
    """
    annotator, project = lock_annotator_in(session, annotator_id, project_id)
    require(annotator, Action.JUDGE, project_id=project_id)
    until = now() + timedelta(minutes=minutes)
    keep_plans(session)
    due = due_to(session, project_id=project_id, annotator_id=annotator_id)
    assignment = _own_live_lease(session, due.held_id, annotator_id)
    if assignment is not None:
        assignment.expires_at = max(assignment.expires_at, until)
        session.add(assignment)
        return shown_to(session, assignment)
    task = _task_for(session, project, annotator, due)
    if task is None:
        return None
    assignment = _lease(session, task, annotator_id, until)
    record(
        session,
        project_id=project_id,
        account_id=annotator_id,
        kind="task.leased",
        task_id=task.id,
        assignment_id=assignment.id,
    )
    return shown_to(session, assignment)


def prolong(
    session: Session, *, assignment_id: int, annotator_id: int, minutes: float
) -> datetime | None:
    """Keep a task lent for `minutes` from now; return until when, or None where it is not.

    A lease that expired is taken up again while the task has room. None: it was submitted, put
    aside or given back, or others have filled the task. Raises `NotAllowed`, `NotFound`.
    """
    _, assignment, task = lock_own(session, assignment_id, annotator_id)
    if assignment.state != AssignmentState.LEASED or task.status != TaskStatus.READY:
        return None
    if assignment.counted and not has_room(session, task=task, without_id=assignment_id):
        return None
    assignment.expires_at = max(assignment.expires_at, now() + timedelta(minutes=minutes))
    session.add(assignment)
    return assignment.expires_at


def release_assignments(session: Session, *, annotator_id: int) -> int:
    """Give back every task that the annotator holds; return how many.

    The session must be writing. Raises `NotFound`.
    """
    # A submit in another tab may be under way: what it judged is no longer held.
    lock_annotator(session, annotator_id)
    held = session.exec(
        select(Assignment, Task.project_id)
        .join(Task, col(Task.id) == col(Assignment.task_id))
        .where(Assignment.annotator_id == annotator_id, Assignment.state == AssignmentState.LEASED)
    ).all()
    for assignment, project_id in held:
        assignment.state = AssignmentState.RELEASED
        session.add(assignment)
        record(
            session,
            project_id=project_id,
            account_id=annotator_id,
            kind="task.released",
            task_id=assignment.task_id,
            assignment_id=assignment.id,
        )
    return len(held)


def _own_live_lease(session: Session, held_id: int | None, annotator_id: int) -> Assignment | None:
    if held_id is None:
        return None
    # Others lend the task as soon as the lease has run out: whether it has is decided under lock.
    _, held, task = lock_own(session, held_id, annotator_id)
    leased = held.state == AssignmentState.LEASED and held.expires_at > now()
    return held if leased and task.status == TaskStatus.READY else None


def _task_for(session: Session, project: Project, annotator: Account, due: Due) -> Task | None:
    project_id = key_of(project)
    most = labeling_settings(project).assignment.most_judgments
    if most is not None and _judged_at_least(session, project_id, key_of(annotator), most):
        return None
    # The mixture claims tasks by this module's functions.
    from labeling.quality_control.qualification import NotQualified
    from labeling.work_queue.mixture import special_task

    me = key_of(annotator)
    try:
        special = special_task(session, project=project, annotator=annotator, due=due)
    except NotQualified as error:
        if not error.decided_now:
            raise
        # An error would undo the decision; the next call raises it.
        return None
    if special is not None:
        return special
    task = begun(session, project_id=project_id, annotator_id=me) if due.begun else None
    return task or claim(
        session, project_id=project_id, annotator_id=me, kinds=QUEUED_KINDS, due=due
    )


def _judged_at_least(session: Session, project_id: int, annotator_id: int, most: int) -> bool:
    last_allowed = session.exec(
        select(Judgment.id)
        .where(
            text(FIRST_JUDGMENT),
            Judgment.annotator_id == annotator_id,
            Judgment.project_id == project_id,
        )
        .offset(most - 1)
        .limit(ONE)
    ).first()
    return last_allowed is not None


def _lease(session: Session, task: Task, annotator_id: int, until: datetime) -> Assignment:
    """Lend the task: a new row, or the annotator's own released or expired one again."""
    values = {"task_id": task.id, "annotator_id": annotator_id}
    before, k = list(execute_core(session, _lent_before_statement(), **values).one())
    if before is not None:
        assignment = session.get_one(Assignment, before)
        # The order stays: a draft of the first time may be in it.
        assignment.state = AssignmentState.LEASED
        assignment.leased_at = now()
        assignment.expires_at = until
        session.add(assignment)
        session.flush()
        return assignment
    seed = _order_seed(key_of(task), annotator_id)
    assignment = Assignment(
        task_id=key_of(task),
        annotator_id=annotator_id,
        expires_at=until,
        order_seed=seed,
        display_order=display_order(seed, k),
    )
    insert_row(session, assignment)
    return assignment


@cache
def _lent_before_statement() -> Any:
    assignment, shown = table_of(Assignment), table_of(TaskCompletion)
    before = select_columns(assignment.c.id).where(
        assignment.c.task_id == bindparam("task_id"),
        assignment.c.annotator_id == bindparam("annotator_id"),
    )
    k = select_columns(func.count()).where(shown.c.task_id == bindparam("task_id"))
    return select_columns(before.scalar_subquery(), k.scalar_subquery())


def _order_seed(task_id: int, annotator_id: int) -> int:
    digest = sha256(f"{task_id}:{annotator_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
