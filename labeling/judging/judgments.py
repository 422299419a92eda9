"""Judgments: stored once, never overwritten; a correction supersedes what it corrects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.judging.answers import (
    valid_checks,
    valid_flags,
    valid_likert,
    valid_milliseconds,
    valid_nonce,
    valid_rationale,
    valid_strength,
)
from labeling.judging.counts import count_judgments
from labeling.judging.facts import Facts, facts_of
from labeling.judging.feedback import feedback_given, note_feedback
from labeling.judging.pace import pace_marks
from labeling.judging.rankings import (
    positions_from_places,
    ranks_from_places,
    validate_ranks,
)
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.work_queue.locks import lock_annotator, lock_own
from labeling.work_queue.putting_aside import (
    flag_assignment,
    skip_assignment,
    to_lead_where_closed_to_all,
)
from labeling.work_queue.shown import AssignedTask, shown_to, words_of
from storage.clock import now
from storage.core import insert_row, update_row
from storage.errors import BadInput, NotFound
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Event,
    Judgment,
    Task,
    TaskStatus,
)

__all__ = [
    "Submission",
    "count_judgments",
    "current_judgments",
    "flag_assignment",
    "not_superseded",
    "ranks_from_places",
    "reopen_last",
    "skip_assignment",
    "submit_judgment",
]

Answer = TypeVar("Answer")

_REFUSED = "judgment.refused"
_SAVED = "Your ranking is saved."
_FULL = (
    "As many others as this task wants have judged it or have it now, so your ranking is not "
    "counted; it is kept in the record."
)
_CLOSED = (
    "This task is finished or withdrawn by now and no longer lent to you, so your ranking is not "
    "counted; it is kept in the record."
)


@dataclass(frozen=True)
class Submission:
    """Tell what became of a submit; `message` is for the annotator, and so is the `feedback`.

    Feedback is what they may know of a task with a known answer, "" for every other.
    """

    judgment_id: int | None
    stored: bool
    message: str
    feedback: str = ""


def submit_judgment(
    session: Session,
    *,
    assignment_id: int,
    annotator_id: int,
    ranks: Sequence[int],
    milliseconds: int,
    nonce: str,
    by_place: bool = False,
    rationale: str = "",
    flags: Sequence[str] = (),
    strength: int | None = None,
    likert: Mapping[str, Sequence[int | None]] | None = None,
    checks: Mapping[str, Sequence[bool | None]] | None = None,
) -> Submission:
    """Store the annotator's ranking of a task lent to them.

    `ranks`, and each list in `likert` and `checks`, are in task position order, or (`by_place`) in
    the order that was stored when the task was lent. The same nonce stores once. An expired lease
    is accepted while the task has room; else nothing is stored but an Event with all that was sent.
    A submit for a task that they have judged already supersedes their judgment. Raises `BadInput`
    where ranks or another field do not fit (nothing is stored then), `NotAllowed`, `NotFound`. The
    session must be writing.
    """
    annotator, assignment, task = lock_own(session, assignment_id, annotator_id)
    # Before all else: what is stored stays stored, whatever the project asks for by now.
    nonce = valid_nonce(nonce)
    facts = facts_of(session, task=task, assignment=assignment, nonce=nonce)
    if facts.judgment_id is not None:
        return _stored_before(session, assignment, facts.judgment_id)
    settings, order = facts.settings, assignment.display_order
    k = len(order)
    if by_place:
        ranks = ranks_from_places(order, ranks)
        likert, checks = _by_position(order, likert or {}), _by_position(order, checks or {})
    valid_ranks = validate_ranks(ranks, k)
    judgment = Judgment(
        project_id=task.project_id,
        task_id=key_of(task),
        assignment_id=assignment_id,
        annotator_id=annotator_id,
        ranks=valid_ranks,
        strength=valid_strength(strength, valid_ranks),
        likert=valid_likert(likert, settings.page, k),
        checks=valid_checks(checks, settings.page, k),
        flags=valid_flags(flags),
        rationale=valid_rationale(rationale, settings.page),
        milliseconds=valid_milliseconds(milliseconds),
        display_order=list(order),
        guideline_version=facts.guideline_version,
        nonce=nonce,
    )
    spent = judgment.milliseconds
    if assignment.state == AssignmentState.SUBMITTED:
        judgment.supersedes_id = key_of(_own_current(session, assignment_id))
        # Whoever corrects has read the texts before.
        spent += _spent_before(session, assignment_id)
    elif assignment.counted and (refusal := _refusal(facts, assignment, task)):
        return _refuse(session, judgment, refusal)
    # A program does not read.
    if annotator.kind is not AccountKind.SIMULATED:
        words = words_of(session, task_id=key_of(task))
        judgment.marks = pace_marks(settings, words=words, milliseconds=spent)
    return _store(session, judgment, assignment, task, annotator, facts)


def reopen_last(session: Session, *, annotator_id: int, project_id: int) -> AssignedTask:
    """Return the annotator's last judged task with its ranks, to be corrected.

    Nothing is undone: the old judgment counts until a new one is submitted for the same
    assignment. Raises `NotFound` where they have judged nothing.
    """
    require(lock_annotator(session, annotator_id), Action.JUDGE, project_id=project_id)
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


def _by_position(
    order: Sequence[int], answers: Mapping[str, Sequence[Answer]]
) -> dict[str, list[Answer]]:
    return {name: positions_from_places(order, row) for name, row in answers.items()}


def _refusal(facts: Facts, assignment: Assignment, task: Task) -> str | None:
    """Return why a first judgment of the task is not counted, or None."""
    # A lease may have run out and the task have gone to somebody else, or judgments that were
    # withdrawn when it was lent have been put back.
    if facts.taken >= task.overlap:
        return _FULL
    # A task may be withdrawn while it is lent: the lease is honoured.
    lent = assignment.state == AssignmentState.LEASED and assignment.expires_at > now()
    return None if lent or task.status == TaskStatus.READY else _CLOSED


def _stored_before(session: Session, assignment: Assignment, judgment_id: int) -> Submission:
    stored = session.get_one(Judgment, judgment_id)
    if stored.assignment_id != assignment.id:
        raise BadInput("This nonce belongs to another submit; send a fresh one for each task.")
    feedback = feedback_given(session, assignment=assignment, judgment=stored)
    return Submission(stored.id, True, _SAVED, feedback)


def _refuse(session: Session, judgment: Judgment, why: str) -> Submission:
    refused = session.exec(
        select(Event.detail).where(
            Event.account_id == judgment.annotator_id, Event.kind == _REFUSED
        )
    )
    if not any(detail["nonce"] == judgment.nonce for detail in refused):
        _record_of(session, judgment, _REFUSED)
    return Submission(None, False, why)


def _own_current(session: Session, assignment_id: int) -> Judgment:
    return session.exec(
        select(Judgment).where(Judgment.assignment_id == assignment_id, not_superseded())
    ).one()


def _spent_before(session: Session, assignment_id: int) -> int:
    """Return the milliseconds that the judgments of an assignment took so far."""
    spent = select(func.sum(Judgment.milliseconds)).where(Judgment.assignment_id == assignment_id)
    return int(session.exec(spent).one() or 0)


def _store(
    session: Session,
    judgment: Judgment,
    assignment: Assignment,
    task: Task,
    annotator: Account,
    facts: Facts,
) -> Submission:
    insert_row(session, judgment)
    takes_room = _takes_room(session, judgment, assignment, task, facts)
    # Of a withdrawn correction: what it corrects took room until now.
    opened = assignment.counted and not takes_room and task.status == TaskStatus.DONE
    update_row(session, assignment, state=AssignmentState.SUBMITTED, draft=None, counted=takes_room)
    judged = facts.submitted + int(takes_room)
    full = judged >= task.overlap and task.status == TaskStatus.READY
    status = TaskStatus.DONE if full else task.status
    if opened and judged < task.overlap:
        status = TaskStatus.READY
    update_row(session, task, judged=judged, status=status)
    _record_of(session, judgment, "judgment.stored", task_completed=full)
    # The mixture claims tasks by functions of this room's core.
    from labeling.work_queue.mixture import after_judgment

    feedback = after_judgment(session, judgment=judgment, task=task, annotator=annotator)
    note_feedback(session, task=task, assignment=assignment, text=feedback, judgment=judgment)
    if task.judged < task.overlap and facts.put_aside:
        to_lead_where_closed_to_all(session, task=task)
    return Submission(judgment.id, True, _SAVED, feedback)


def _takes_room(
    session: Session, judgment: Judgment, assignment: Assignment, task: Task, facts: Facts
) -> bool:
    """Say whether the annotator of a stored judgment takes one of the places of its task."""
    if assignment.counted and not facts.room_given:
        return True
    # Withdrawals are of judgments: they build on this module.
    from labeling.withdrawals.room_given_back import gives_room_back, keeps_room

    if assignment.counted:
        return not gives_room_back(session, judgment=judgment, task=task)
    # A correction of a judgment whose room was given back.
    if facts.submitted < task.overlap <= facts.taken:
        return False  # Somebody holds that room now: nobody's work is refused for a correction.
    return keeps_room(session, judgment=judgment)


def _record_of(session: Session, judgment: Judgment, kind: str, **more: Any) -> None:
    detail: dict[str, Any] = {
        **more,
        "judgment_id": judgment.id,
        "task_id": judgment.task_id,
        "assignment_id": judgment.assignment_id,
        "nonce": judgment.nonce,
    }
    if kind == _REFUSED:
        detail |= {
            "ranks": judgment.ranks,
            "display_order": judgment.display_order,
            "flags": judgment.flags,
            "milliseconds": judgment.milliseconds,
            "strength": judgment.strength,
            "likert": judgment.likert,
            "checks": judgment.checks,
        }
    record(
        session,
        project_id=judgment.project_id,
        account_id=judgment.annotator_id,
        kind=kind,
        personal={"rationale": judgment.rationale} if kind == _REFUSED else None,
        **detail,
    )
