"""The queue in figures, and changing what is in it: requeue and withdraw."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.quality_control.known_answers import known_by_copy
from labeling.review.decisions import standing_decisions
from labeling.texts import storable
from labeling.work_queue.queues import QUEUED_KINDS
from labeling.work_queue.room import count_submitted, takes_room
from labeling.work_queue.task_copies import WITHOUT_LIMIT
from storage.clock import now
from storage.errors import BadInput
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Policy,
    PolicyStatus,
    Review,
    ReviewDecision,
    Task,
    TaskStatus,
)

_PUT_ASIDE = (AssignmentState.SKIPPED, AssignmentState.FLAGGED)
_AT_ONCE = 500


@dataclass(frozen=True)
class QueueRow:
    """Count the ordinary and arena tasks of one overlap.

    `ready` tasks want more annotators, `stale` of them are of a policy that is no longer live;
    `leased` counts live leases, not tasks; `review` tasks wait for a lead.
    """

    overlap: int
    ready: int
    leased: int
    done: int
    stale: int
    review: int
    withdrawn: int


@dataclass(frozen=True)
class TaskChoice:
    """Say which tasks of a project are meant: those that fit every part that is given.

    Without `ids`, of what is in the queue: ordinary and arena tasks.
    """

    ids: Sequence[int] | None = None
    policy_version: int | None = None
    put_aside_by: int | None = None
    status: TaskStatus | None = None


@dataclass(frozen=True)
class Change:
    """Tell what was, or would be, done: tasks changed, and those that are left as they are."""

    changed: list[int]
    reopened: int
    held: int
    unfit: int


def queue(session: Session, *, project_id: int) -> list[QueueRow]:
    """Return a row for each overlap, lowest first."""
    old = col(Policy.status) == PolicyStatus.RETIRED
    counts = session.exec(
        select(Task.overlap, col(Task.status), old, func.count())
        .join(Policy, col(Policy.id) == col(Task.policy_id))
        .where(Task.project_id == project_id, col(Task.kind).in_(QUEUED_KINDS))
        .group_by(col(Task.overlap), col(Task.status), old)
    ).all()
    leases = dict(
        session.exec(
            select(Task.overlap, func.count())
            .join(Assignment, col(Assignment.task_id) == col(Task.id))
            .where(
                Task.project_id == project_id,
                col(Task.kind).in_(QUEUED_KINDS),
                _live(),
            )
            .group_by(col(Task.overlap))
        ).all()
    )
    return [
        _row(overlap, [row[1:] for row in counts if row[0] == overlap], leases.get(overlap, 0))
        for overlap in sorted({row[0] for row in counts})
    ]


def requeue(
    session: Session,
    *,
    project_id: int,
    choice: TaskChoice,
    by: Account,
    reason: str,
    more: int = 0,
    dry_run: bool = False,
) -> Change:
    """Make tasks READY again, and open them again to those who skipped or flagged them.

    `more` raises their overlap, so that tasks that are done get more annotators; without it those
    are left as they are. With `choice.put_aside_by` they are opened again to that annotator alone.
    A lead's decision on a task that is made ready no longer holds: what people judge does. A task
    with a gold or qualification copy in force is left as it is: who met the one would know the
    other. So is one that a lead decided, where `by` is no stored account (the server's shell): a
    decision is taken back by somebody.
    Raises `BadInput` without a reason, `NotAllowed`. The session must be writing.
    """
    reason = _allowed(by, project_id, reason)
    if more < 0:
        raise BadInput("A task cannot be given fewer annotators; `more` must be 0 or more.")
    changed, reopened, unfit = [], 0, 0
    chosen = _chosen(session, project_id, choice)
    decided = standing_decisions(session, project_id=project_id)
    known = known_by_copy(session, task_ids=[key_of(task) for task in chosen])
    for task in chosen:
        if by.id is None and task.id in decided:
            unfit += 1
            continue
        closed = _put_aside(session, task, choice.put_aside_by)
        task.judged = count_submitted(session, task=task)
        wants = task.judged < task.overlap + more and task.id not in known
        if not wants or (task.status == TaskStatus.READY and not closed and not more):
            unfit += 1
            continue
        changed.append(key_of(task))
        reopened += len(closed)
        if dry_run:
            continue
        task.status, task.overlap = TaskStatus.READY, min(task.overlap + more, WITHOUT_LIMIT)
        session.add(task)
        if (review_id := decided.get(key_of(task))) is not None:
            session.add(_taken_back(task, review_id, by, reason))
        for assignment in closed:
            assignment.state = AssignmentState.RELEASED
            session.add(assignment)
    _record(session, project_id, by, "tasks.requeued", changed, reason, dry_run)
    return Change(changed, reopened, held=0, unfit=unfit)


def withdraw(
    session: Session,
    *,
    project_id: int,
    choice: TaskChoice,
    by: Account,
    reason: str,
    dry_run: bool = False,
) -> Change:
    """Take tasks that wait for annotators or for a lead out of the queue; judgments stay.

    A task that somebody holds now is left (`held`). Raises `BadInput` without a reason,
    `NotAllowed`. The session must be writing.
    """
    reason = _allowed(by, project_id, reason)
    changed, held, unfit = [], 0, 0
    for task in _chosen(session, project_id, choice):
        if task.status not in (TaskStatus.READY, TaskStatus.REVIEW):
            unfit += 1
        elif _is_held(session, task):
            held += 1
        else:
            changed.append(key_of(task))
            if not dry_run:
                task.status = TaskStatus.WITHDRAWN
                session.add(task)
    _record(session, project_id, by, "tasks.withdrawn", changed, reason, dry_run)
    return Change(changed, reopened=0, held=held, unfit=unfit)


def _taken_back(task: Task, review_id: int, by: Account, reason: str) -> Review:
    return Review(
        project_id=task.project_id,
        task_id=key_of(task),
        decision=ReviewDecision.REQUEUED,
        comment=storable(reason),
        by_id=key_of(by),
        nonce=f"tasks-requeued-after-{review_id}",
    )


def _row(overlap: int, counts: Sequence[tuple[str, bool, int]], leased: int) -> QueueRow:
    def tasks(status: TaskStatus) -> int:
        return sum(count for found, _, count in counts if found == status)

    stale = sum(count for status, old, count in counts if old and status == TaskStatus.READY)
    return QueueRow(
        overlap=overlap,
        ready=tasks(TaskStatus.READY),
        leased=leased,
        done=tasks(TaskStatus.DONE),
        stale=stale,
        review=tasks(TaskStatus.REVIEW),
        withdrawn=tasks(TaskStatus.WITHDRAWN),
    )


def _live() -> ColumnElement[bool]:
    return takes_room(now()) & (col(Assignment.state) == AssignmentState.LEASED)


def _is_held(session: Session, task: Task) -> bool:
    held = select(Assignment.id).where(Assignment.task_id == task.id, _live()).limit(1)
    return session.exec(held).first() is not None


def _chosen(session: Session, project_id: int, choice: TaskChoice) -> list[Task]:
    """Return the tasks, locked, in the order of their ids; nothing chosen is no task."""
    conditions: list[ColumnElement[bool]] = [col(Task.project_id) == project_id]
    if choice.ids is not None:
        conditions.append(col(Task.id).in_(choice.ids))
    if choice.status is not None:
        conditions.append(col(Task.status) == choice.status)
    if choice.policy_version is not None:
        policy = select(Policy.id).where(
            Policy.project_id == project_id, Policy.version == choice.policy_version
        )
        conditions.append(col(Task.policy_id).in_(policy))
    if choice.put_aside_by is not None:
        conditions.append(
            exists().where(
                col(Assignment.task_id) == Task.id,
                col(Assignment.annotator_id) == choice.put_aside_by,
                col(Assignment.state).in_(_PUT_ASIDE),
            )
        )
    if len(conditions) == 1:
        raise BadInput("Say which tasks: by number, policy, annotator or status.")
    # Gold and qualification tasks have a policy and wait, too, but are in no queue: whoever wants
    # one of them names it.
    queued = [col(Task.kind).in_(QUEUED_KINDS)] if choice.ids is None else []
    found = session.exec(
        select(Task)
        .where(*conditions, *queued)
        .order_by(col(Task.id))
        .with_for_update(key_share=True, of=Task)
        .execution_options(populate_existing=True)
    ).all()
    missing = set(choice.ids or ()) - {key_of(task) for task in found}
    if missing and len(conditions) == 2:
        raise BadInput(f"There is no task {min(missing)} in this project; nothing was changed.")
    return list(found)


def _put_aside(session: Session, task: Task, by_id: int | None) -> list[Assignment]:
    statement = select(Assignment).where(
        Assignment.task_id == task.id, col(Assignment.state).in_(_PUT_ASIDE)
    )
    if by_id is not None:
        statement = statement.where(Assignment.annotator_id == by_id)
    return list(session.exec(statement))


def _allowed(by: Account, project_id: int, reason: str) -> str:
    require(by, Action.REVIEW, project_id=project_id)
    if not reason.strip():
        raise BadInput("Give a reason; it is kept in the record.")
    return reason.strip()


def _record(
    session: Session,
    project_id: int,
    by: Account,
    kind: str,
    task_ids: list[int],
    reason: str,
    dry_run: bool,
) -> None:
    if dry_run:
        return
    for start in range(0, len(task_ids), _AT_ONCE):
        record(
            session,
            project_id=project_id,
            account_id=by.id,
            kind=kind,
            task_ids=task_ids[start : start + _AT_ONCE],
            reason=reason,
        )
