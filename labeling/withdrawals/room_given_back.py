"""Room of tasks whose judgments are withdrawn: given back to the queue, or taken again.

A judgment takes room as long as its assignment is `counted`. Only tasks that the project's own
queue lent get room back: one that an import brought was judged elsewhere, one that a lead has
decided keeps its label, and one with a gold or qualification copy must not wait for annotators.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, case, func, or_, select, true, update
from sqlmodel import Session, col

from labeling.events import record
from labeling.judging.judgments import not_superseded
from labeling.keys import key_of
from labeling.quality_control.known_answers import known_by_copy
from labeling.review.decisions import standing_decisions
from labeling.withdrawals.conditions import JUDGMENTS
from labeling.withdrawals.scope import Scope
from labeling.work_queue.queues import QUEUED_KINDS
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Event,
    Judgment,
    Task,
    TaskStatus,
    Withdrawal,
)

_AT_ONCE = 500


def give_room_back(session: Session, *, withdrawal: Withdrawal) -> int:
    """Open the withdrawn judgments' tasks to as many others; return how many tasks that are.

    What a model took without people goes to people.
    """
    tasks = _tasks(session, withdrawal, or_(_taking_room(withdrawal), _taken(withdrawal)))
    decided = standing_decisions(session, project_id=withdrawal.project_id)
    known = known_by_copy(session, task_ids=[task for task in tasks if task is not None])
    return _recount(
        session,
        [task for task in tasks if task not in decided and task not in known],
        _taking_room(withdrawal),
        counted=False,
    )


def take_room_again(session: Session, *, withdrawal: Withdrawal) -> int:
    """Let the judgments that are put back take their tasks' room again; return how many tasks."""
    given = _given_room(session, withdrawal)
    return _recount(session, _tasks(session, withdrawal, given), given, counted=True)


def keeps_room(session: Session, *, judgment: Judgment) -> bool:
    """Say whether no withdrawal that gave room back covers a stored judgment."""
    kept = select(col(Judgment.id)).where(
        col(Judgment.id) == judgment.id, _no_room_given(session, judgment.project_id)
    )
    return session.scalar(kept) is not None


def gives_room_back(session: Session, *, judgment: Judgment, task: Task) -> bool:
    """Say whether a judgment that was just stored is withdrawn, and its task open to others for it.

    As `give_room_back` does for those that were there before.
    """
    if task.kind not in QUEUED_KINDS or task.import_id is not None:
        return False
    if keeps_room(session, judgment=judgment):
        return False
    decided = standing_decisions(session, project_id=judgment.project_id)
    return task.id not in decided and not known_by_copy(session, task_ids=[key_of(task)])


def close_tasks(session: Session, *, withdrawal: Withdrawal, by: Account | None) -> int:
    """Take the tasks of a withdrawn import out of the queue; return how many."""
    waiting = [TaskStatus.READY, TaskStatus.REVIEW]
    ids = session.scalars(
        select(col(Task.id))
        .where(col(Task.import_id) == withdrawal.import_id, col(Task.status).in_(waiting))
        .order_by(col(Task.id))
        .with_for_update(key_share=True)
    ).all()
    for some in _chunks(ids):
        session.execute(
            update(Task).where(col(Task.id).in_(some)).values(status=TaskStatus.WITHDRAWN)
        )
        record(
            session,
            project_id=withdrawal.project_id,
            account_id=by.id if by else None,
            kind="tasks.withdrawn",
            task_ids=list(some),
            reason=withdrawal.reason,
            withdrawal_id=withdrawal.id,
        )
    return len(ids)


def open_tasks_again(session: Session, *, withdrawal: Withdrawal) -> int:
    """Put back into the queue the tasks that `close_tasks` took out of it; return how many.

    One of which a gold or qualification copy was made since stays out of it.
    """
    taken_out = session.scalars(
        select(col(Event.detail)).where(
            col(Event.project_id) == withdrawal.project_id,
            col(Event.kind) == "tasks.withdrawn",
            col(Event.detail)["withdrawal_id"].as_integer() == withdrawal.id,
        )
    ).all()
    changed = 0
    for detail in taken_out:
        some = set(detail["task_ids"])
        some -= known_by_copy(session, task_ids=some)
        done = session.execute(
            update(Task)
            .where(col(Task.id).in_(some), col(Task.status) == TaskStatus.WITHDRAWN)
            .values(status=case((col(Task.judged) < col(Task.overlap), "ready"), else_="done"))
        )
        changed += cast(CursorResult[Any], done).rowcount
    return changed


def _taking_room(withdrawal: Withdrawal) -> ColumnElement[bool]:
    return and_(Scope.of(withdrawal).holds(JUDGMENTS), col(Assignment.counted))


def _taken(withdrawal: Withdrawal) -> ColumnElement[bool]:
    """Return the condition that a model's judgment closed its task, which no person has judged."""
    return and_(
        Scope.of(withdrawal).holds(JUDGMENTS),
        col(Judgment.annotator_id).not_in(_people()),
        col(Task.status) == TaskStatus.DONE,
        col(Task.judged) == 0,
    )


def _people() -> Any:
    return select(col(Account.id)).where(col(Account.kind) != AccountKind.MODEL)


def _given_room(session: Session, withdrawal: Withdrawal) -> ColumnElement[bool]:
    """Return the condition that a judgment's room was given back, and no other withdrawal's is."""
    return and_(
        Scope.of(withdrawal).holds(JUDGMENTS),
        ~col(Assignment.counted),
        _no_room_given(session, withdrawal.project_id, but_by=withdrawal.id),
    )


def _no_room_given(
    session: Session, project_id: int, *, but_by: int | None = None
) -> ColumnElement[bool]:
    """Return the condition that a judgment is a person's, and covered by no requeued withdrawal."""
    others = session.scalars(
        select(Withdrawal).where(
            col(Withdrawal.project_id) == project_id,
            col(Withdrawal.reverted_at).is_(None),
            col(Withdrawal.requeued),
            col(Withdrawal.id) != (but_by or 0),
        )
    )
    # A model annotator's judgment never takes room.
    return and_(
        col(Judgment.annotator_id).in_(_people()),
        # Not `~`: of a task that no import brought, an import's scope says neither yes nor no.
        *(Scope.of(one).holds(JUDGMENTS).is_not(true()) for one in others),
    )


def _tasks(
    session: Session, withdrawal: Withdrawal, condition: ColumnElement[bool]
) -> Sequence[int | None]:
    """Return the ids of the queue's own tasks with a judgment that the condition means."""
    return session.scalars(
        select(col(Task.id))
        .join(Judgment, col(Judgment.task_id) == col(Task.id))
        .join(Assignment, col(Assignment.id) == col(Judgment.assignment_id))
        .where(
            col(Task.project_id) == withdrawal.project_id,
            col(Task.kind).in_(QUEUED_KINDS),
            col(Task.import_id).is_(None),
            col(Assignment.state) == AssignmentState.SUBMITTED,
            condition,
        )
        .distinct()
        .order_by(col(Task.id))
    ).all()


def _recount(
    session: Session, task_ids: Sequence[int | None], meant: ColumnElement[bool], *, counted: bool
) -> int:
    submitted = col(Assignment.state) == AssignmentState.SUBMITTED
    judged = (
        select(func.count())
        .select_from(Assignment)
        .where(col(Assignment.task_id) == Task.id, submitted, col(Assignment.counted))
        .correlate(Task)
        .scalar_subquery()
    )
    for some in _chunks(task_ids):
        # Locked first, in the order of their ids, so that no submit slips in between.
        here = col(Task.id).in_(some)
        session.execute(
            select(col(Task.id)).where(here).order_by(col(Task.id)).with_for_update(key_share=True)
        )
        assignments = (
            select(col(Assignment.id))
            .join(Judgment, col(Judgment.assignment_id) == col(Assignment.id))
            .where(col(Assignment.task_id).in_(some), submitted, not_superseded(), meant)
        )
        ids = session.scalars(assignments).all()
        session.execute(
            update(Assignment).where(col(Assignment.id).in_(ids)).values(counted=counted)
        )
        session.execute(update(Task).where(here).values(judged=judged))
        session.execute(update(Task).where(here).values(status=_status()))
    session.expire_all()
    return len(task_ids)


def _status() -> ColumnElement[str]:
    full = col(Task.judged) >= col(Task.overlap)
    return case(
        (and_(col(Task.status) == TaskStatus.DONE, ~full), TaskStatus.READY.value),
        (and_(col(Task.status) == TaskStatus.READY, full), TaskStatus.DONE.value),
        else_=col(Task.status),
    )


def _chunks(ids: Sequence[int | None]) -> Iterator[Sequence[int | None]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
