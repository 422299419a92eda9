"""Lend tasks: never above a task's overlap, never twice to one annotator, and only for a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, and_, exists, or_
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.keys import key_of
from labeling.permissions import Action, require
from storage.clock import now
from storage.errors import NotFound
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Completion,
    Prompt,
    Task,
    TaskCompletion,
    TaskStatus,
)


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

    A live lease of their own comes back first, prolonged; else the READY task of highest priority,
    then of the newest policy, then the oldest. The session must be writing. Raises `NotAllowed`,
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
    task = _claim_task(session, project_id, annotator_id)
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


def release_assignments(session: Session, *, annotator_id: int) -> int:
    """Give back every task that the annotator holds; return how many."""
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


def takes_room(at: datetime) -> ColumnElement[bool]:
    """Return the condition under which an assignment counts towards its task's overlap."""
    return or_(
        col(Assignment.state) == AssignmentState.SUBMITTED,
        and_(col(Assignment.state) == AssignmentState.LEASED, col(Assignment.expires_at) > at),
    )


def has_room(session: Session, *, task: Task, without_id: int | None = None) -> bool:
    """Say whether the (locked) task wants one more annotator, not counting `without_id`'s row."""
    taken = session.exec(
        select(func.count())
        .select_from(Assignment)
        .where(
            Assignment.task_id == task.id,
            takes_room(now()),
            col(Assignment.id) != (without_id or 0),
        )
    ).one()
    return taken < task.overlap


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
    return session.exec(
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


def _claim_task(session: Session, project_id: int, annotator_id: int) -> Task | None:
    while True:
        task = session.exec(_claim_statement(project_id, annotator_id)).first()
        # PostgreSQL locks the row after it has counted: another's lease, committed in between, is
        # seen only by a second statement. Each turn of this loop is another annotator's success.
        if task is None or has_room(session, task=task):
            return task


def _claim_statement(project_id: int, annotator_id: int) -> Any:
    at = now()
    closed_to_them = exists().where(
        col(Assignment.task_id) == Task.id,
        col(Assignment.annotator_id) == annotator_id,
        or_(
            col(Assignment.state).in_([AssignmentState.SUBMITTED, AssignmentState.SKIPPED]),
            takes_room(at),
        ),
    )
    taken = (
        select(func.count())
        .select_from(Assignment)
        .where(col(Assignment.task_id) == Task.id, takes_room(at))
        .correlate(Task)
        .scalar_subquery()
    )
    return (
        select(Task)
        .where(
            Task.project_id == project_id,
            Task.status == TaskStatus.READY,
            ~closed_to_them,
            taken < col(Task.overlap),
        )
        .order_by(col(Task.priority).desc(), col(Task.policy_id).desc(), col(Task.id))
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True, of=Task)
        .execution_options(populate_existing=True)
    )


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
