"""Judgments: stored once, never overwritten; a correction supersedes what it corrects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from labeling.assignment import AssignedTask, has_room, lock_annotator, shown_to
from labeling.events import record
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.rankings import ranks_from_places, validate_ranks
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import (
    Assignment,
    AssignmentState,
    Event,
    Judgment,
    Task,
    TaskCompletion,
    TaskStatus,
)

__all__ = [
    "Submission",
    "count_judgments",
    "current_judgments",
    "not_superseded",
    "ranks_from_places",
    "reopen_last",
    "skip_assignment",
    "submit_judgment",
]

LONGEST_RATIONALE = 10_000
LONGEST_REASON = 500
_MOST_MILLISECONDS = 2**31 - 1
_REFUSED = "judgment.refused"
_SAVED = "Your ranking is saved."
_FULL = (
    "Others finished this task while it was no longer lent to you, so your ranking is not "
    "counted; it is kept in the record."
)


@dataclass(frozen=True)
class Submission:
    """Tell what became of a submit; `message` is for the annotator."""

    judgment_id: int | None
    stored: bool
    message: str


def submit_judgment(
    session: Session,
    *,
    assignment_id: int,
    annotator_id: int,
    ranks: Sequence[int],
    milliseconds: int,
    nonce: str,
    rationale: str = "",
    flags: Sequence[str] = (),
) -> Submission:
    """Store the annotator's ranking of a task lent to them, ranks in task position order.

    The same nonce stores once. An expired lease is accepted while the task has room; else nothing
    is stored but an Event with all that was sent. A submit for a task that they have judged
    already supersedes their judgment. Raises `BadInput` where ranks or another field do not fit
    (nothing is stored then), `NotAllowed`, `NotFound`. The session must be writing.
    """
    assignment, task = _lock_own(session, assignment_id, annotator_id)
    k = session.exec(
        select(func.count()).select_from(TaskCompletion).where(TaskCompletion.task_id == task.id)
    ).one()
    judgment = Judgment(
        project_id=task.project_id,
        task_id=key_of(task),
        assignment_id=assignment_id,
        annotator_id=annotator_id,
        ranks=validate_ranks(ranks, k),
        flags=_valid_flags(flags),
        rationale=_valid_text(rationale, "rationale", LONGEST_RATIONALE),
        milliseconds=_valid_milliseconds(milliseconds),
        display_order=list(assignment.display_order),
        nonce=_valid_nonce(nonce),
    )
    stored = _stored_before(session, judgment)
    if stored is not None:
        return stored
    if assignment.state == AssignmentState.SUBMITTED:
        judgment.supersedes_id = key_of(_own_current(session, assignment_id))
    elif task.status != TaskStatus.READY or not has_room(
        session, task=task, without_id=assignment_id
    ):
        return _refuse(session, judgment)
    return _store(session, judgment, assignment, task)


def skip_assignment(
    session: Session, *, assignment_id: int, annotator_id: int, reason: str
) -> None:
    """Put a task aside for this annotator; it stays ready for others.

    Raises `BadInput` without a reason, `Conflict` where the task was judged already.
    """
    assignment, task = _lock_own(session, assignment_id, annotator_id)
    reason = _valid_text(reason, "reason", LONGEST_REASON).strip()
    if not reason:
        raise BadInput("A skip needs a reason; choose or write one.")
    if assignment.state == AssignmentState.SUBMITTED:
        raise Conflict("This task is judged already, so it cannot be skipped; take the next one.")
    if assignment.state == AssignmentState.SKIPPED:
        return
    assignment.state = AssignmentState.SKIPPED
    assignment.skip_reason = reason
    session.add(assignment)
    record(
        session,
        project_id=task.project_id,
        account_id=annotator_id,
        kind="task.skipped",
        task_id=task.id,
        assignment_id=assignment_id,
        reason=reason,
    )


def reopen_last(session: Session, *, annotator_id: int, project_id: int) -> AssignedTask:
    """Return the annotator's last judged task with its ranks, to be corrected.

    Nothing is undone: the old judgment counts until a new one is submitted for the same
    assignment. Raises `NotFound` where they have judged nothing.
    """
    require(lock_annotator(session, annotator_id), Action.JUDGE)
    last = session.exec(
        select(Judgment)
        .where(
            Judgment.project_id == project_id,
            Judgment.annotator_id == annotator_id,
            not_superseded(),
        )
        .order_by(col(Judgment.id).desc())
        .limit(1)
    ).first()
    if last is None:
        raise NotFound("There is no judgment of yours to correct yet.")
    assignment = session.get_one(Assignment, last.assignment_id)
    _record_of(session, last, "judgment.reopened")
    return shown_to(session, assignment, ranks=list(last.ranks))


def not_superseded() -> ColumnElement[bool]:
    """Return the condition under which a judgment is the annotator's current one."""
    newer = aliased(Judgment)
    return ~select(newer.id).where(newer.supersedes_id == Judgment.id).exists()


def current_judgments(session: Session, *, project_id: int) -> list[Judgment]:
    """Return the project's judgments that no later one supersedes, oldest first."""
    statement = (
        select(Judgment)
        .where(Judgment.project_id == project_id, not_superseded())
        .order_by(col(Judgment.id))
    )
    return list(session.exec(statement))


def count_judgments(
    session: Session,
    *,
    project_id: int,
    annotator_id: int | None = None,
    since: datetime | None = None,
) -> int:
    """Count the current judgments of a project, or of one annotator in it, or only newer ones."""
    statement = (
        select(func.count())
        .select_from(Judgment)
        .where(Judgment.project_id == project_id, not_superseded())
    )
    if annotator_id is not None:
        statement = statement.where(Judgment.annotator_id == annotator_id)
    if since is not None:
        statement = statement.where(Judgment.created_at >= since)
    return session.exec(statement).one()


def _lock_own(session: Session, assignment_id: int, annotator_id: int) -> tuple[Assignment, Task]:
    require(lock_annotator(session, annotator_id), Action.JUDGE)
    assignment = session.get(Assignment, assignment_id)
    if assignment is None:
        raise NotFound(f"There is no assignment {assignment_id}; load the next task.")
    if assignment.annotator_id != annotator_id:
        raise NotAllowed("This task is lent to somebody else; load the next task.")
    task = session.exec(
        select(Task)
        .where(Task.id == assignment.task_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    session.refresh(assignment)
    return assignment, task


def _stored_before(session: Session, judgment: Judgment) -> Submission | None:
    stored = session.exec(select(Judgment).where(Judgment.nonce == judgment.nonce)).first()
    if stored is None:
        return None
    if stored.assignment_id != judgment.assignment_id:
        raise BadInput("This nonce belongs to another submit; send a fresh one for each task.")
    return Submission(stored.id, True, _SAVED)


def _refuse(session: Session, judgment: Judgment) -> Submission:
    refused = session.exec(
        select(Event.detail).where(
            Event.account_id == judgment.annotator_id, Event.kind == _REFUSED
        )
    )
    if not any(detail["nonce"] == judgment.nonce for detail in refused):
        _record_of(session, judgment, _REFUSED)
    return Submission(None, False, _FULL)


def _own_current(session: Session, assignment_id: int) -> Judgment:
    return session.exec(
        select(Judgment).where(Judgment.assignment_id == assignment_id, not_superseded())
    ).one()


def _store(session: Session, judgment: Judgment, assignment: Assignment, task: Task) -> Submission:
    assignment.state = AssignmentState.SUBMITTED
    assignment.draft = None
    session.add_all([judgment, assignment])
    session.flush()
    completed = session.exec(
        select(func.count())
        .select_from(Assignment)
        .where(Assignment.task_id == task.id, Assignment.state == AssignmentState.SUBMITTED)
    ).one()
    if completed >= task.overlap and task.status == TaskStatus.READY:
        task.status = TaskStatus.DONE
        session.add(task)
    _record_of(session, judgment, "judgment.stored")
    return Submission(judgment.id, True, _SAVED)


def _record_of(session: Session, judgment: Judgment, kind: str) -> None:
    detail: dict[str, Any] = {
        "judgment_id": judgment.id,
        "task_id": judgment.task_id,
        "assignment_id": judgment.assignment_id,
        "nonce": judgment.nonce,
    }
    if kind == _REFUSED:
        detail |= {
            "ranks": judgment.ranks,
            "display_order": judgment.display_order,
            "rationale": judgment.rationale,
            "flags": judgment.flags,
            "milliseconds": judgment.milliseconds,
        }
    record(
        session,
        project_id=judgment.project_id,
        account_id=judgment.annotator_id,
        kind=kind,
        **detail,
    )


def _valid_milliseconds(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadInput(f"The time taken is {value!r}; it must be whole milliseconds, 0 or more.")
    return min(value, _MOST_MILLISECONDS)


def _valid_nonce(value: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isprintable():
        raise BadInput("The nonce of a submit must be text of 1 to 64 printable characters.")
    return value


def _valid_text(value: str, field: str, longest: int) -> str:
    if not isinstance(value, str):
        raise BadInput(f"The {field} must be text.")
    if len(value) > longest:
        raise BadInput(f"The {field} is too long; {longest} characters are the most.")
    # PostgreSQL stores no NUL, and no database stores half a surrogate pair.
    return value.replace("\x00", "").encode("utf-8", "replace").decode()


def _valid_flags(values: Sequence[str]) -> list[str]:
    if isinstance(values, str) or len(values) > 20:
        raise BadInput("The flags must be a list of at most 20 short texts.")
    return [_valid_text(value, "flag", 50) for value in values]
