"""What must hold of judgments and leases whatever was killed, checked in the tables themselves.

Nothing here calls the functions that are tested: each rule is a query of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, or_
from sqlmodel import Session, col, func, select

from storage.clock import now
from storage.tables import (
    Assignment,
    AssignmentState,
    Event,
    Judgment,
    Task,
    TaskStatus,
)


@dataclass(frozen=True)
class Acknowledged:
    """A judgment that somebody was told is saved: its nonce, and ranks in task position order."""

    nonce: str
    ranks: tuple[int, ...]


def broken(session: Session, acknowledged: Sequence[Acknowledged]) -> dict[str, list[str]]:
    """Return every rule in words, with what breaks it; all lists are empty where all is well."""
    return {
        "an acknowledged judgment is stored once, as it was given": _lost(session, acknowledged),
        "no task is above its overlap": above_overlap(session),
        "no annotator is twice on a task": _twice(session),
        "a submitted assignment has its judgment, and only such a one": _halves(session),
        "a task's count and status say what is stored": _miscounted(session),
        "each judgment left its event": _without_event(session),
    }


def above_overlap(session: Session) -> list[str]:
    """Return the tasks that are judged by, or lent to, more annotators than they want."""
    taken = or_(
        col(Assignment.state) == AssignmentState.SUBMITTED,
        and_(col(Assignment.state) == AssignmentState.LEASED, col(Assignment.expires_at) > now()),
    )
    rows = session.exec(
        select(Task.id, Task.overlap, func.count())
        .join(Assignment, col(Assignment.task_id) == col(Task.id))
        .where(taken, col(Assignment.counted))
        .group_by(col(Task.id), col(Task.overlap))
        .having(func.count() > col(Task.overlap))
    )
    return [f"task {task}: {count} of {overlap}" for task, overlap, count in rows]


def live_leases(session: Session) -> list[str]:
    """Return the assignments that keep a task from others until they expire."""
    rows = session.exec(
        select(Assignment.id, Assignment.task_id).where(
            Assignment.state == AssignmentState.LEASED, col(Assignment.expires_at) > now()
        )
    )
    return [f"assignment {assignment} of task {task}" for assignment, task in rows]


def unfinished(session: Session) -> list[str]:
    """Return the tasks that have fewer judgments than they want."""
    counts = _annotators_of_tasks(session)
    wanted = session.exec(select(Task.id, Task.overlap)).all()
    return [
        f"task {task}: {counts.get(task, 0)} of {overlap}"
        for task, overlap in wanted
        if task is not None and counts.get(task, 0) < overlap
    ]


def _lost(session: Session, acknowledged: Sequence[Acknowledged]) -> list[str]:
    stored: dict[str, list[tuple[int, ...]]] = {}
    for nonce, ranks in session.exec(select(Judgment.nonce, Judgment.ranks)):
        stored.setdefault(nonce, []).append(tuple(ranks))
    return [
        f"{one.nonce}: told {list(one.ranks)}, stored {stored.get(one.nonce, [])}"
        for one in acknowledged
        if stored.get(one.nonce) != [one.ranks]
    ]


def _twice(session: Session) -> list[str]:
    lent = session.exec(
        select(Assignment.task_id, Assignment.annotator_id)
        .group_by(col(Assignment.task_id), col(Assignment.annotator_id))
        .having(func.count() > 1)
    ).all()
    judged = session.exec(
        select(Judgment.task_id, Judgment.annotator_id)
        .where(col(Judgment.supersedes_id).is_(None))
        .group_by(col(Judgment.task_id), col(Judgment.annotator_id))
        .having(func.count() > 1)
    ).all()
    return [f"task {task}, annotator {annotator}" for task, annotator in [*lent, *judged]]


def _halves(session: Session) -> list[str]:
    rows = session.exec(
        select(Assignment.id, Assignment.state, func.count(col(Judgment.id)))
        .join(Judgment, col(Judgment.assignment_id) == col(Assignment.id), isouter=True)
        .group_by(col(Assignment.id), col(Assignment.state))
    )
    return [
        f"assignment {assignment}: {state}, {judgments} judgments"
        for assignment, state, judgments in rows
        if (state == AssignmentState.SUBMITTED) != (judgments > 0)
    ]


def _miscounted(session: Session) -> list[str]:
    counts = _annotators_of_tasks(session)
    rows = session.exec(select(Task.id, Task.overlap, Task.status, Task.judged)).all()
    return [
        f"task {task}: {status}, counts {judged}, stored {counts.get(task or 0, 0)} of {overlap}"
        for task, overlap, status, judged in rows
        if judged != counts.get(task or 0, 0)
        # One that was withdrawn, or sent to the leads, stays so whoever had it still submits.
        or (
            status in (TaskStatus.READY, TaskStatus.DONE)
            and (status == TaskStatus.DONE) != (counts.get(task or 0, 0) >= overlap)
        )
    ]


def _without_event(session: Session) -> list[str]:
    events = session.exec(
        select(func.count()).select_from(Event).where(Event.kind == "judgment.stored")
    ).one()
    judgments = session.exec(select(func.count()).select_from(Judgment)).one()
    return [] if events == judgments else [f"{judgments} judgments, {events} events"]


def _annotators_of_tasks(session: Session) -> Mapping[int, int]:
    rows = session.exec(
        select(Judgment.task_id, func.count(func.distinct(col(Judgment.annotator_id)))).group_by(
            col(Judgment.task_id)
        )
    )
    return dict(rows.all())
