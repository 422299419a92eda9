"""Locks: who is at a task, and the task itself, always in this order: annotator, then task.

Every statement here is asked at each submit: it is built once, its values bound at each use.
"""

from functools import cache
from typing import Any

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from labeling.permissions import Action, require
from storage.errors import NotAllowed, NotFound
from storage.tables import Account, Assignment, Project, Task


def lock_annotator(session: Session, annotator_id: int) -> Account:
    """Return the account, locked so that two tabs of one annotator take their turns."""
    account: Account | None = session.exec(
        _account_statement(), params={"annotator_id": annotator_id}
    ).first()
    if account is None:
        raise NotFound(f"There is no account {annotator_id}; sign in again.")
    return account


def lock_annotator_in(
    session: Session, annotator_id: int, project_id: int
) -> tuple[Account, Project]:
    """Return the account, locked as by `lock_annotator`, and the project they work in.

    Raises `NotFound`.
    """
    found = session.exec(
        _account_in_statement(),
        params={"annotator_id": annotator_id, "project_id": project_id},
    ).first()
    if found is None:
        lock_annotator(session, annotator_id)
        raise NotFound(f"There is no project {project_id}; load the page again.")
    account, project = found
    return account, project


@cache
def _account_in_statement() -> Any:
    return (
        select(Account, Project)
        .join(Project, col(Project.id) == bindparam("project_id"))
        .where(col(Account.id) == bindparam("annotator_id"))
        .with_for_update(key_share=True, of=Account)
        .execution_options(populate_existing=True)
    )


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
    found = session.exec(_lent_statement(), params={"assignment_id": assignment_id}).first()
    if found is None:
        raise NotFound(f"There is no assignment {assignment_id}; load the next task.")
    task, assignment = found
    require(annotator, Action.JUDGE, project_id=task.project_id)
    if assignment.annotator_id != annotator_id:
        raise NotAllowed("This task is lent to somebody else; load the next task.")
    return annotator, assignment, task


@cache
def _lent_statement() -> Any:
    # Both are locked, the task first: PostgreSQL reads again, once it has waited, what it locks.
    return (
        select(Task, Assignment)
        .join(Assignment, col(Assignment.task_id) == col(Task.id))
        .where(col(Assignment.id) == bindparam("assignment_id"))
        .with_for_update(key_share=True)
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
