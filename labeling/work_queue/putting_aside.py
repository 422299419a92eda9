"""Skip and flag: a task that its annotator puts aside is closed to them and takes no room."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select
from sqlmodel import Session

from labeling.events import record
from labeling.judging.answers import LONGEST_COMMENT, valid_flags, valid_text
from labeling.judging.feedback import feedback_given, note_feedback
from labeling.judging.judging import who_could_judge
from labeling.keys import key_of
from labeling.work_queue.assignment import lock_own
from labeling.work_queue.queues import QUEUED_KINDS
from labeling.work_queue.room import PUT_ASIDE
from storage.core import execute_core, table_of
from storage.errors import BadInput, Conflict
from storage.tables import Account, Assignment, AssignmentState, Task, TaskStatus

LONGEST_REASON = 500


def skip_assignment(session: Session, *, assignment_id: int, annotator_id: int, reason: str) -> str:
    """Put a task aside for this annotator; it stays ready for others, or goes to the lead.

    Returns what to tell the annotator, "" mostly. Raises `BadInput` without a reason,
    `Conflict` where the task was judged already.
    """
    annotator, assignment, task = lock_own(session, assignment_id, annotator_id)
    reason = valid_text(reason, "reason", LONGEST_REASON).strip()
    if not reason:
        raise BadInput("A skip needs a reason; choose or write one.")
    if assignment.state in PUT_ASIDE:
        return feedback_given(session, assignment=assignment)
    return _put_aside(session, annotator, assignment, task, AssignmentState.SKIPPED, reason)


def flag_assignment(
    session: Session,
    *,
    assignment_id: int,
    annotator_id: int,
    flags: Sequence[str],
    comment: str = "",
) -> str:
    """Put a task aside and tell the leads what is wrong with it.

    It stays ready for others until a lead decides. Returns what to tell the annotator, "" mostly.
    Raises `BadInput` without a flag, `Conflict` where the task was judged already.
    """
    annotator, assignment, task = lock_own(session, assignment_id, annotator_id)
    flags = valid_flags(flags)
    comment = valid_text(comment, "comment", LONGEST_COMMENT).strip()
    if not flags:
        raise BadInput("Choose what is wrong with this task; then flag it.")
    if assignment.state == AssignmentState.FLAGGED:
        return feedback_given(session, assignment=assignment)
    assignment.flags = flags
    return _put_aside(session, annotator, assignment, task, AssignmentState.FLAGGED, comment)


def _put_aside(
    session: Session,
    annotator: Account,
    assignment: Assignment,
    task: Task,
    state: AssignmentState,
    said: str,
) -> str:
    # The mixture claims tasks by functions of this room's core.
    from labeling.work_queue.mixture import after_putting_aside

    if assignment.state == AssignmentState.SUBMITTED:
        raise Conflict(f"This task is judged already, so it cannot be {state}; take the next one.")
    assignment.state = state
    assignment.skip_reason = said
    session.add(assignment)
    session.flush()
    record(
        session,
        project_id=task.project_id,
        account_id=assignment.annotator_id,
        kind=f"task.{state}",
        task_id=task.id,
        assignment_id=assignment.id,
        personal={"reason": said} if said else None,
        flags=assignment.flags or [],
    )
    session.flush()
    told = after_putting_aside(session, task=task, annotator=annotator)
    note_feedback(session, task=task, assignment=assignment, text=told)
    to_lead_where_closed_to_all(session, task=task)
    return told


def to_lead_where_closed_to_all(session: Session, *, task: Task) -> None:
    """Hand a (locked) task to the lead where some put it aside and nobody is left to judge it.

    A task that is only judged waits: for annotators, not for a lead. Tests stay in their set.
    """
    if task.status != TaskStatus.READY or task.kind not in QUEUED_KINDS:
        return
    found = execute_core(session, _states_statement(), task_id=task.id)
    rows = [(row.annotator_id, row.state) for row in found]
    if not any(state in PUT_ASIDE for _, state in rows):
        return
    closed = {who for who, state in rows if state in (AssignmentState.SUBMITTED, *PUT_ASIDE)}
    # An expired lease counts only as its annotator does: whoever may judge can take it up again.
    if closed.issuperset(who_could_judge(session, task)):
        _hand_to_lead(session, task)


@cache
def _states_statement() -> Any:
    assignment = table_of(Assignment)
    return select(assignment.c.annotator_id, assignment.c.state).where(
        assignment.c.task_id == bindparam("task_id")
    )


def _hand_to_lead(session: Session, task: Task) -> None:
    task.status = TaskStatus.REVIEW
    session.add(task)
    record(
        session,
        project_id=task.project_id,
        account_id=None,
        kind="task.to_review",
        task_id=key_of(task),
        reason="closed to everyone who judges here",
    )
