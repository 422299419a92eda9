"""Locks: who is at a task, and the task itself, always in this order: annotator, then task.

Every statement here is asked at each submit: it is built once, its values bound at each use.
"""

from functools import cache
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from labeling.permissions import Action, require
from storage.core import execute_core, table_of
from storage.errors import NotAllowed, NotFound
from storage.tables import Account, Assignment, Task


def lock_annotator(session: Session, annotator_id: int) -> Account:
    """Return the account, locked so that two tabs of one annotator take their turns."""
    account: Account | None = session.exec(
        _account_statement(), params={"annotator_id": annotator_id}
    ).first()
    if account is None:
        raise NotFound(f"There is no account {annotator_id}; sign in again.")
    return account


@cache
def _account_statement() -> Any:
    return (
        select(Account)
        .where(col(Account.id) == bindparam("annotator_id"))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def lock_own(
    session: Session, assignment_id: int, annotator_id: int
) -> tuple[Account, Assignment, Task]:
    """Return an annotator, their own assignment and its task, all locked, the annotator first.

    Raises `NotAllowed`, `NotFound`.
    """
    annotator = lock_annotator(session, annotator_id)
    found = execute_core(session, _lent_statement(), assignment_id=assignment_id).first()
    if found is None:
        raise NotFound(f"There is no assignment {assignment_id}; load the next task.")
    require(annotator, Action.JUDGE, project_id=found.project_id)
    if found.annotator_id != annotator_id:
        raise NotAllowed("This task is lent to somebody else; load the next task.")
    task = lock_task(session, found.task_id)
    return annotator, assignment_now(session, assignment_id), task


@cache
def _lent_statement() -> Any:
    assignment, task = table_of(Assignment), table_of(Task)
    return (
        select_columns(assignment.c.task_id, assignment.c.annotator_id, task.c.project_id)
        .join_from(assignment, task, task.c.id == assignment.c.task_id)
        .where(assignment.c.id == bindparam("assignment_id"))
    )


def assignment_now(session: Session, assignment_id: int) -> Assignment:
    """Return the assignment as it is now that its task is locked."""
    found: Assignment = session.exec(
        _assignment_statement(), params={"assignment_id": assignment_id}
    ).one()
    return found


@cache
def _assignment_statement() -> Any:
    return (
        select(Assignment)
        .where(col(Assignment.id) == bindparam("assignment_id"))
        .execution_options(populate_existing=True)
    )


def lock_task(session: Session, task_id: int) -> Task:
    """Return the task, locked against being lent or judged by others until the transaction ends."""
    task: Task = session.exec(_task_statement(), params={"task_id": task_id}).one()
    return task


@cache
def _task_statement() -> Any:
    return (
        select(Task)
        .where(col(Task.id) == bindparam("task_id"))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
