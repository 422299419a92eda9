"""Lend tasks: never above a task's overlap, never twice to one annotator, and only for a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import numpy as np
from sqlalchemy import text
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from labeling.work_queue.claim import QUEUED_KINDS, begun, claim, has_room, takes_room
from storage.clock import now
from storage.errors import NotAllowed, NotFound
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Completion,
    Judgment,
    Project,
    Prompt,
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


@dataclass(frozen=True)
class AssignedTask:
    """Hold what an annotator is shown: texts in display order, and nothing of where they are from.

    `display_order[j]` is the task position shown in place j. `ranks`, in task position order, is
    set where an own judgment was reopened.
    """

    assignment_id: int
    task_id: int
    messages: list[dict[str, str]]
    completions: list[str]
    display_order: list[int]
    expires_at: datetime
    ranks: list[int] | None = None


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
    annotator = lock_annotator(session, annotator_id)
    require(annotator, Action.JUDGE)
    until = now() + timedelta(minutes=minutes)
    assignment = _own_live_lease(session, project_id, annotator_id)
    if assignment is not None:
        assignment.expires_at = max(assignment.expires_at, until)
        session.add(assignment)
        return shown_to(session, assignment)
    task = _task_for(session, project_id, annotator)
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
    assignment, task = lock_own(session, assignment_id, annotator_id)
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


def lock_annotator(session: Session, annotator_id: int) -> Account:
    """Return the account, locked so that two tabs of one annotator take their turns."""
    statement = (
        select(Account)
        .where(Account.id == annotator_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    account = session.exec(statement).first()
    if account is None:
        raise NotFound(f"There is no account {annotator_id}; sign in again.")
    return account


def lock_own(session: Session, assignment_id: int, annotator_id: int) -> tuple[Assignment, Task]:
    """Return an annotator's own assignment and its task, both locked, the annotator first.

    Raises `NotAllowed`, `NotFound`.
    """
    require(lock_annotator(session, annotator_id), Action.JUDGE)
    assignment = session.get(Assignment, assignment_id)
    if assignment is None:
        raise NotFound(f"There is no assignment {assignment_id}; load the next task.")
    if assignment.annotator_id != annotator_id:
        raise NotAllowed("This task is lent to somebody else; load the next task.")
    task = lock_task(session, assignment.task_id)
    session.refresh(assignment)
    return assignment, task


def lock_task(session: Session, task_id: int) -> Task:
    """Return the task, locked against being lent or judged by others until the transaction ends."""
    return session.exec(
        select(Task)
        .where(Task.id == task_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()


def shown_to(
    session: Session, assignment: Assignment, ranks: list[int] | None = None
) -> AssignedTask:
    """Return what the assignment's annotator is shown."""
    messages = session.exec(
        select(Prompt.messages)
        .join(Task, col(Task.prompt_id) == col(Prompt.id))
        .where(Task.id == assignment.task_id)
    ).one()
    texts = session.exec(
        select(Completion.text)
        .join(TaskCompletion, col(TaskCompletion.completion_id) == col(Completion.id))
        .where(TaskCompletion.task_id == assignment.task_id)
        .order_by(col(TaskCompletion.position))
    ).all()
    return AssignedTask(
        assignment_id=key_of(assignment),
        task_id=assignment.task_id,
        messages=list(messages),
        completions=[texts[position] for position in assignment.display_order],
        display_order=list(assignment.display_order),
        expires_at=assignment.expires_at,
        ranks=ranks,
    )


def display_order(seed: int, k: int) -> list[int]:
    """Return the order in which `k` completions are shown, drawn from the assignment's seed."""
    return [int(position) for position in np.random.default_rng(seed).permutation(k)]


def _own_live_lease(session: Session, project_id: int, annotator_id: int) -> Assignment | None:
    held = session.exec(
        select(Assignment)
        .join(Task, col(Task.id) == col(Assignment.task_id))
        .where(
            Assignment.annotator_id == annotator_id,
            Assignment.state == AssignmentState.LEASED,
            col(Assignment.expires_at) > now(),
            Task.project_id == project_id,
            Task.status == TaskStatus.READY,
        )
        .order_by(col(Assignment.id))
        .limit(1)
    ).first()
    if held is None:
        return None
    # Others lend the task as soon as the lease has run out: whether it has is decided under lock.
    task = lock_task(session, held.task_id)
    live = task.status == TaskStatus.READY and held.expires_at > now()
    return held if live else None


def _task_for(session: Session, project_id: int, annotator: Account) -> Task | None:
    project = session.get_one(Project, project_id)
    most = labeling_settings(project).assignment.most_judgments
    if most is not None and _judged_at_least(session, project_id, key_of(annotator), most):
        return None
    # The mixture claims tasks by this module's functions.
    from labeling.quality_control.qualification import NotQualified
    from labeling.work_queue.mixture import special_task

    me = key_of(annotator)
    try:
        special = special_task(session, project=project, annotator=annotator)
    except NotQualified as error:
        if not error.decided_now:
            raise
        # An error would undo the decision; the next call raises it.
        return None
    return (
        special
        or begun(session, project_id=project_id, annotator_id=me)
        or claim(session, project_id=project_id, annotator_id=me, kinds=QUEUED_KINDS)
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
        .limit(1)
    ).first()
    return last_allowed is not None


def _lease(session: Session, task: Task, annotator_id: int, until: datetime) -> Assignment:
    """Lend the task: a new row, or the annotator's own released or expired one again."""
    assignment = session.exec(
        select(Assignment).where(
            Assignment.task_id == task.id, Assignment.annotator_id == annotator_id
        )
    ).first()
    if assignment is None:
        seed = _order_seed(key_of(task), annotator_id)
        k = session.exec(
            select(func.count())
            .select_from(TaskCompletion)
            .where(TaskCompletion.task_id == task.id)
        ).one()
        assignment = Assignment(
            task_id=key_of(task),
            annotator_id=annotator_id,
            expires_at=until,
            order_seed=seed,
            display_order=display_order(seed, k),
        )
    else:
        # The order stays: a draft of the first time may be in it.
        assignment.state = AssignmentState.LEASED
        assignment.leased_at = now()
        assignment.expires_at = until
    session.add(assignment)
    session.flush()
    return assignment


def _order_seed(task_id: int, annotator_id: int) -> int:
    digest = sha256(f"{task_id}:{annotator_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
