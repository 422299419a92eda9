"""Qualification: a set of tasks with known answers that comes before real work.

It is in force where the project has qualification tasks, for people who may not change how labeling
works; simulated annotators, who read no guidelines, take no test. An attempt is the whole set; the
next attempt is made of copies, in other display orders. A task that was put aside gives no points.
The newest attempt of an annotator holds.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, allows, require
from labeling.quality_control.known_answers import Score, score
from labeling.work_queue.task_copies import copy_task, keep_other_order
from storage.clock import now
from storage.core import execute_core, table_of
from storage.errors import NotAllowed, NotFound
from storage.tables import (
    Account,
    AccountKind,
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


class NotQualified(NotAllowed):
    """Say that the annotator has no attempt left; `share` of the last one's pairs were right.

    `decided_now`: the attempt was open until this call, so its decision is yet to be committed.
    """

    def __init__(self, attempt: Qualification, mark: float, *, decided_now: bool = False) -> None:
        """Take the attempt that failed, and the pass mark (0 to 1)."""
        super().__init__(
            f"You got {share_of(attempt):.0%} of the qualification's pairs right and {mark:.0%} "
            "are needed; ask a lead, who can let you try again."
        )
        # Plain numbers: the row is gone with the transaction that this error ends.
        self.share = share_of(attempt)
        self.decided_now = decided_now


@dataclass(frozen=True)
class Standing:
    """Hold where an annotator stands: `attempt` None before they have begun."""

    tasks: int
    done: int
    attempt: Qualification | None


def qualification_task(session: Session, *, project: Project, annotator: Account) -> Task | None:
    """Return the qualification task that comes next, locked; None where real work may be done.

    Begins an attempt where one is due. Raises `NotQualified` where none is left. The session must
    be writing.
    """
    wanted = _set_of(session, key_of(project))
    simulated = annotator.kind is AccountKind.SIMULATED
    if (
        not wanted
        or simulated
        or allows(annotator, Action.CHANGE_LABELING, project_id=key_of(project))
    ):
        return None
    attempt = _newest(session, key_of(project), key_of(annotator))
    if attempt is None:
        attempt = _begin(session, project, annotator, number=1)
    decided_now = attempt.passed is None
    if decided_now:
        task = _next_open(session, attempt)
        if task is not None:
            return task
        _decide(session, project, attempt)
    if attempt.passed:
        return None
    settings = labeling_settings(project).qualification
    if attempt.attempt >= settings.attempts:
        raise NotQualified(attempt, settings.pass_mark, decided_now=decided_now)
    attempt = _begin(session, project, annotator, number=attempt.attempt + 1)
    return _next_open(session, attempt)


def after_qualification_task(
    session: Session, *, project: Project, annotator: Account, task: Task
) -> str:
    """Count a qualification task that was judged or put aside; return what to tell the annotator.

    The text is empty but after an attempt's last task.
    """
    attempt = _newest(session, key_of(project), key_of(annotator))
    if attempt is None or attempt.passed is not None or task.id not in attempt.task_ids:
        return ""
    session.flush()
    if _open_ids(session, attempt):
        _count(session, attempt)
        return ""
    _decide(session, project, attempt)
    settings = labeling_settings(project).qualification
    if attempt.passed:
        return f"You passed the qualification: {share_of(attempt):.0%} of the pairs were right."
    left = settings.attempts - attempt.attempt
    start = (
        f"You got {share_of(attempt):.0%} of the pairs right; {settings.pass_mark:.0%} are needed."
    )
    if left <= 0:
        return f"{start} Ask a lead, who can let you try again."
    return f"{start} Read the guidelines again, then try once more."


def standing(session: Session, *, project_id: int, account_id: int) -> Standing:
    """Return where an account stands in the project's qualification."""
    attempt = _newest(session, project_id, account_id)
    if attempt is None or not attempt.task_ids:
        return Standing(len(_set_of(session, project_id)), 0, attempt)
    left = len(_open_ids(session, attempt)) if attempt.passed is None else 0
    return Standing(len(attempt.task_ids), len(attempt.task_ids) - left, attempt)


def under_way(session: Session, *, project_id: int, account_id: int) -> tuple[int, int] | None:
    """Return which task of how many comes next in an account's open attempt, or None without."""
    values = {"project_id": project_id, "account_id": account_id}
    if execute_core(session, _undecided_statement(), **values).first() is None:
        return None
    attempt = _newest(session, project_id, account_id)
    if attempt is None or attempt.passed is not None:
        return None
    done = len(attempt.task_ids) - len(_open_ids(session, attempt))
    return min(done + 1, len(attempt.task_ids)), len(attempt.task_ids)


@cache
def _undecided_statement() -> Any:
    attempt = table_of(Qualification)
    return (
        select_columns(attempt.c.attempt)
        .where(
            attempt.c.project_id == bindparam("project_id"),
            attempt.c.account_id == bindparam("account_id"),
            attempt.c.passed.is_(None),
        )
        .limit(1)
    )


def share_of(attempt: Qualification) -> float:
    """Return the share of an attempt's pairs that were right (0 to 1)."""
    return attempt.correct / attempt.pairs if attempt.pairs else 0.0


def wave_through(session: Session, *, project: Project, account_id: int, by: Account) -> None:
    """Let an annotator do real work whatever the test says; raise `NotAllowed`, `NotFound`."""
    require(by, Action.CHANGE_LABELING, project_id=key_of(project))
    _annotator(session, account_id)
    newest = _newest(session, key_of(project), account_id)
    if newest is not None and newest.passed:
        return
    session.add(
        Qualification(
            project_id=key_of(project),
            account_id=account_id,
            attempt=newest.attempt + 1 if newest else 1,
            passed=True,
            by_id=by.id,
            decided_at=now(),
        )
    )
    _record(session, project, by.id, "qualification.waved_through", account_id)


def reset_qualification(
    session: Session, *, project: Project, account_id: int, by: Account
) -> None:
    """Give an annotator one more attempt, whatever came before; raise `NotAllowed`, `NotFound`."""
    require(by, Action.CHANGE_LABELING, project_id=key_of(project))
    annotator = _annotator(session, account_id)
    newest = _newest(session, key_of(project), account_id)
    if newest is None or newest.passed is None:
        return
    _begin(session, project, annotator, number=newest.attempt + 1, by=by)
    _record(session, project, by.id, "qualification.reset", account_id)


def _set_of(session: Session, project_id: int) -> list[int]:
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


def _newest(session: Session, project_id: int, account_id: int) -> Qualification | None:
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


def _begin(
    session: Session,
    project: Project,
    annotator: Account,
    *,
    number: int,
    by: Account | None = None,
) -> Qualification:
    task_ids = _set_of(session, key_of(project))
    if number > 1:
        task_ids = [_copy(session, task_id, key_of(annotator)) for task_id in task_ids]
    attempt = Qualification(
        project_id=key_of(project),
        account_id=key_of(annotator),
        attempt=number,
        task_ids=task_ids,
        by_id=by.id if by else None,
    )
    session.add(attempt)
    session.flush()
    _record(
        session, project, annotator.id, "qualification.begun", key_of(annotator), attempt=number
    )
    return attempt


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


def _open_ids(session: Session, attempt: Qualification) -> list[int]:
    ready = session.exec(
        select(Task.id)
        .where(col(Task.id).in_(attempt.task_ids), Task.status == TaskStatus.READY)
        .order_by(col(Task.id))
    ).all()
    closed = _closed(session, attempt)
    return [task_id for task_id in ready if task_id is not None and task_id not in closed]


def _next_open(session: Session, attempt: Qualification) -> Task | None:
    for task_id in _open_ids(session, attempt):
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


def _count(session: Session, attempt: Qualification) -> None:
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


def _decide(session: Session, project: Project, attempt: Qualification) -> None:
    _count(session, attempt)
    mark = labeling_settings(project).qualification.pass_mark
    # Where every task of the attempt was withdrawn, nothing was asked.
    attempt.passed = attempt.correct >= mark * attempt.pairs
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


def _annotator(session: Session, account_id: int) -> Account:
    found = session.get(Account, account_id)
    if found is None:
        raise NotFound(f"There is no account {account_id}; load the page again.")
    return found


def _record(
    session: Session, project: Project, by_id: int | None, kind: str, annotator_id: int, **more: int
) -> None:
    record(
        session,
        project_id=project.id,
        account_id=by_id,
        kind=kind,
        annotator_id=annotator_id,
        **more,
    )
