"""Who judges in a project: whom a task may still be lent to, and whom nobody waits for."""

from sqlalchemy import ColumnElement, exists, or_
from sqlmodel import Session, col, select

from labeling.permissions import Action, role_in, roles_that_may
from storage.tables import Account, AccountKind, Assignment, PoolMember, Role, Task


def who_judges(session: Session, project_id: int) -> list[int]:
    """Return who may judge and was ever lent a task here: people, or simulated where no person was.

    An admin who never ranks, or a simulation that has ended, must not hold the pool full of tasks
    that are closed to everybody at work.
    """
    return _found(session, project_id, _lent_here(project_id))


def who_could_judge(session: Session, task: Task) -> list[int]:
    """Return who might still be lent this task: who judges here, and annotators yet to begin.

    Of a pool's task only the pool's members; of a task for one annotator, only they.
    """
    begun = _lent_here(task.project_id)
    annotators = role_in(task.project_id) == Role.ANNOTATOR.value
    found = _found(session, task.project_id, or_(begun, annotators))
    if task.for_annotator_id is not None:
        return [key for key in found if key == task.for_annotator_id]
    if not task.pool:
        return found
    members = session.exec(
        select(PoolMember.account_id).where(
            PoolMember.project_id == task.project_id, PoolMember.pool == task.pool
        )
    ).all()
    return [key for key in found if key in members]


def _lent_here(project_id: int) -> ColumnElement[bool]:
    return (
        exists()
        .where(col(Assignment.annotator_id) == Account.id)
        .where(col(Assignment.task_id) == Task.id, col(Task.project_id) == project_id)
    )


def _found(session: Session, project_id: int, condition: ColumnElement[bool]) -> list[int]:
    found = session.exec(
        select(Account.id, Account.kind).where(
            col(Account.active),
            Account.imported_from == "",
            Account.kind != AccountKind.MODEL,
            role_in(project_id).in_(roles_that_may(Action.JUDGE)),
            condition,
        )
    ).all()
    people = [account_id for account_id, kind in found if kind is AccountKind.PERSON]
    return [key for key in people or [row[0] for row in found] if key is not None]
