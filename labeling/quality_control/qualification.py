"""Qualification: a set of tasks with known answers that comes before real work.

It is in force where the project has qualification tasks, for people who may not change how labeling
works; simulated annotators, who read no guidelines, take no test. An attempt is the whole set; the
next attempt is made of copies, in other display orders. A task that was put aside gives no points.
The newest attempt of an annotator holds.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import Session

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_sections import QualificationSettings
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, allows, require
from labeling.quality_control.qualification_attempts import (
    begin_anew_where_nothing_is_left,
    begin_attempt,
    closed_count,
    count_pairs,
    decide,
    newest_attempt,
    next_open,
    open_ids,
    set_of,
)
from storage.clock import now
from storage.core import execute_core, table_of
from storage.errors import NotAllowed, NotFound
from storage.tables import (
    Account,
    AccountKind,
    Project,
    Qualification,
    Task,
)


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
    """Hold where an annotator stands: `attempt` None before they have begun.

    `tasks` are those that are asked in all, `done` those that are behind them; both leave out what
    was withdrawn before they came to it.
    """

    tasks: int
    done: int
    attempt: Qualification | None


def qualification_task(session: Session, *, project: Project, annotator: Account) -> Task | None:
    """Return the qualification task that comes next, locked; None where real work may be done.

    Begins an attempt where one is due. Raises `NotQualified` where none is left. The session must
    be writing.
    """
    wanted = set_of(session, project_id=key_of(project))
    simulated = annotator.kind is AccountKind.SIMULATED
    if (
        not wanted
        or simulated
        or allows(annotator, Action.CHANGE_LABELING, project_id=key_of(project))
    ):
        return None
    attempt = newest_attempt(session, project_id=key_of(project), account_id=key_of(annotator))
    if attempt is None:
        attempt = begin_attempt(session, project=project, annotator=annotator, number=1)
    decided_now = attempt.passed is None
    if decided_now:
        begin_anew_where_nothing_is_left(session, attempt)
        task = next_open(session, attempt)
        if task is not None:
            return task
        decide(session, project=project, attempt=attempt)
    if attempt.passed:
        return None
    settings = labeling_settings(project).qualification
    if attempt.attempt >= settings.attempts:
        raise NotQualified(attempt, settings.pass_mark, decided_now=decided_now)
    attempt = begin_attempt(
        session, project=project, annotator=annotator, number=attempt.attempt + 1
    )
    return next_open(session, attempt)


def after_qualification_task(
    session: Session, *, project: Project, annotator: Account, task: Task
) -> str:
    """Count a qualification task that was judged or put aside; return what to tell the annotator.

    The text is empty but after an attempt's last task, and where the set was withdrawn by then.
    """
    attempt = newest_attempt(session, project_id=key_of(project), account_id=key_of(annotator))
    if attempt is None or attempt.passed is not None or task.id not in attempt.task_ids:
        return ""
    session.flush()
    if open_ids(session, attempt):
        count_pairs(session, attempt)
        return ""
    decide(session, project=project, attempt=attempt)
    if not attempt.passed and not set_of(session, project_id=key_of(project)):
        # Withdrawn while they were at it: real work comes next, and no other attempt.
        return ""
    return told_of(attempt, labeling_settings(project).qualification)


def told_of(attempt: Qualification, settings: QualificationSettings) -> str:
    """Return what an annotator is told of their attempt that has just been decided."""
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
    attempt = newest_attempt(session, project_id=project_id, account_id=account_id)
    if attempt is not None and attempt.passed is not None and attempt.task_ids:
        return Standing(len(attempt.task_ids), len(attempt.task_ids), attempt)
    wanted = len(set_of(session, project_id=project_id))
    if attempt is None or not attempt.task_ids or not wanted:
        return Standing(wanted, 0, attempt)
    done, left = closed_count(session, attempt), len(open_ids(session, attempt))
    return Standing(done + left or wanted, done, attempt)


def under_way(
    session: Session, *, project_id: int, account_id: int, task_id: int
) -> tuple[int, int] | None:
    """Return which task of how many a task is in an account's open attempt.

    None where the task is none of it: other work may be at hand while an attempt is open, as after
    its set was withdrawn.
    """
    values = {"project_id": project_id, "account_id": account_id}
    if execute_core(session, _undecided_statement(), **values).first() is None:
        return None
    attempt = newest_attempt(session, project_id=project_id, account_id=account_id)
    if attempt is None or attempt.passed is not None or task_id not in attempt.task_ids:
        return None
    done, left = closed_count(session, attempt), len(open_ids(session, attempt))
    return done + 1, max(done + left, done + 1)


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
    newest = newest_attempt(session, project_id=key_of(project), account_id=account_id)
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
    newest = newest_attempt(session, project_id=key_of(project), account_id=account_id)
    if newest is None or newest.passed is None:
        return
    begin_attempt(session, project=project, annotator=annotator, number=newest.attempt + 1, by=by)
    _record(session, project, by.id, "qualification.reset", account_id)


def _annotator(session: Session, account_id: int) -> Account:
    # Locked, as by the annotator's own next task: attempts are numbered one after another.
    found = session.get(
        Account, account_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if found is None:
        raise NotFound(f"There is no account {account_id}; load the page again.")
    return found


def _record(
    session: Session, project: Project, by_id: int | None, kind: str, annotator_id: int
) -> None:
    record(
        session,
        project_id=project.id,
        account_id=by_id,
        kind=kind,
        annotator_id=annotator_id,
    )
