"""Attempts at the qualification set: begun, gone through task by task, counted, decided."""

from functools import cache
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.quality_control.known_answers import Score, score
from labeling.work_queue.task_copies import copy_task, keep_other_order
from storage.clock import now
from storage.core import execute_core, table_of
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Judgment,
    KnownAnswer,
    Project,
    Qualification,
    Task,
    TaskKind,
    TaskStatus,
)
from storage.tables.tasks import CLOSED_ASSIGNMENT, SPECIAL_TASK


def set_of(session: Session, *, project_id: int) -> list[int]:
    """Return the tasks of the project's set, as they were made."""
    return list(execute_core(session, _set_statement(), project_id=project_id).scalars())


@cache
def _set_statement() -> Any:
    task = table_of(Task)
    return (
        select_columns(task.c.id)
        .where(
            text(SPECIAL_TASK),
            task.c.project_id == bindparam("project_id"),
            task.c.kind == TaskKind.QUALIFICATION,
        )
        .order_by(task.c.id)
    )


def newest_attempt(session: Session, *, project_id: int, account_id: int) -> Qualification | None:
    """Return the attempt that holds, or None before the first."""
    values = {"project_id": project_id, "account_id": account_id}
    found: Qualification | None = session.exec(_newest_statement(), params=values).first()
    return found


@cache
def _newest_statement() -> Any:
    return (
        select(Qualification)
        .where(
            col(Qualification.project_id) == bindparam("project_id"),
            col(Qualification.account_id) == bindparam("account_id"),
        )
        .order_by(col(Qualification.attempt).desc())
        .limit(1)
    )


def begin_attempt(
    session: Session,
    *,
    project: Project,
    annotator: Account,
    number: int,
    by: Account | None = None,
) -> Qualification:
    """Store an attempt: number 1 is the set itself, each after it is copies.

    `by` is who gave it beyond those that the settings give.
    """
    attempt = Qualification(
        project_id=key_of(project),
        account_id=key_of(annotator),
        attempt=number,
        by_id=by.id if by else None,
    )
    attempt.task_ids = _tasks_of(session, attempt)
    session.add(attempt)
    session.flush()
    record(
        session,
        project_id=project.id,
        account_id=annotator.id,
        kind="qualification.begun",
        annotator_id=key_of(annotator),
        attempt=number,
    )
    return attempt


def begin_anew_where_nothing_is_left(session: Session, attempt: Qualification) -> None:
    """Ask the set as it is now in an open attempt whose tasks were all withdrawn unanswered.

    There would be nothing to decide it by, and whoever began it would pass a set that they never
    saw.
    """
    if not open_ids(session, attempt) and not _closed(session, attempt):
        attempt.task_ids = _tasks_of(session, attempt)
        session.add(attempt)
        session.flush()


def _tasks_of(session: Session, attempt: Qualification) -> list[int]:
    task_ids = set_of(session, project_id=attempt.project_id)
    if attempt.attempt == 1:
        return task_ids
    return [_copy(session, task_id, attempt.account_id) for task_id in task_ids]


def _copy(session: Session, task_id: int, annotator_id: int) -> int:
    original = session.get_one(Task, task_id)
    known = session.get_one(KnownAnswer, task_id)
    copy = copy_task(
        session, task=original, kind=TaskKind.QUALIFICATION, for_annotator_id=annotator_id
    )
    session.add(
        KnownAnswer(
            task_id=key_of(copy),
            ranks=list(known.ranks),
            explanation=known.explanation,
            by_id=known.by_id,
        )
    )
    shown = session.exec(
        select(Assignment.display_order).where(
            Assignment.task_id == task_id, Assignment.annotator_id == annotator_id
        )
    ).first()
    if shown is not None:
        keep_other_order(session, task=copy, annotator_id=annotator_id, shown=shown)
    return key_of(copy)


def open_ids(session: Session, attempt: Qualification) -> list[int]:
    """Return the tasks of an attempt that were neither judged nor put aside."""
    ready = session.exec(
        select(Task.id)
        .where(col(Task.id).in_(attempt.task_ids), Task.status == TaskStatus.READY)
        .order_by(col(Task.id))
    ).all()
    closed = _closed(session, attempt)
    return [task_id for task_id in ready if task_id is not None and task_id not in closed]


def closed_count(session: Session, attempt: Qualification) -> int:
    """Return how many tasks of an attempt were judged or put aside."""
    return len(_closed(session, attempt))


def next_open(session: Session, attempt: Qualification) -> Task | None:
    """Return the first of them that is still ready, locked, or None."""
    for task_id in open_ids(session, attempt):
        # Waited for, not skipped: others at the same test hold a task for an instant only.
        task = session.exec(
            select(Task)
            .where(Task.id == task_id, Task.status == TaskStatus.READY)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        ).first()
        if task is not None:
            return task
    return None


def _closed(session: Session, attempt: Qualification) -> dict[int, AssignmentState]:
    found = session.exec(
        select(Assignment).where(
            text(CLOSED_ASSIGNMENT),
            Assignment.annotator_id == attempt.account_id,
            col(Assignment.task_id).in_(attempt.task_ids),
        )
    )
    return {one.task_id: one.state for one in found}


def count_pairs(session: Session, attempt: Qualification) -> None:
    """Bring an attempt's figures up to date: its current judgments against the known answers."""
    closed = _closed(session, attempt)
    judged = session.exec(
        select(Judgment)
        .where(
            Judgment.annotator_id == attempt.account_id,
            col(Judgment.task_id).in_(attempt.task_ids),
        )
        .order_by(col(Judgment.id))
    )
    ranks = {one.task_id: one.ranks for one in judged}
    known = session.exec(select(KnownAnswer).where(col(KnownAnswer.task_id).in_(list(closed))))
    scores = [_score_of(one, closed[one.task_id], ranks) for one in known]
    attempt.pairs = sum(one.pairs for one in scores)
    attempt.correct = sum(one.correct for one in scores)
    session.add(attempt)


def _score_of(known: KnownAnswer, state: AssignmentState, ranks: dict[int, list[int]]) -> Score:
    if state == AssignmentState.SUBMITTED and known.task_id in ranks:
        return score(ranks[known.task_id], known.ranks)
    return Score(0.0, score(known.ranks, known.ranks).pairs)


def decide(session: Session, *, project: Project, attempt: Qualification) -> None:
    """Count an attempt's pairs, and keep and record whether it passed."""
    count_pairs(session, attempt)
    mark = labeling_settings(project).qualification.pass_mark
    # Where every task of the attempt was withdrawn, nothing was asked. A quotient is rounded as the
    # mark was; a product may come out above what is exactly enough (0.56 of 25 pairs).
    attempt.passed = attempt.pairs == 0 or attempt.correct / attempt.pairs >= mark
    attempt.decided_at = now()
    session.add(attempt)
    record(
        session,
        project_id=attempt.project_id,
        account_id=attempt.account_id,
        kind="qualification.decided",
        attempt=attempt.attempt,
        passed=attempt.passed,
        correct=attempt.correct,
        pairs=attempt.pairs,
    )
