"""Withdraw judgments with a reason, put them back, and list what is withdrawn."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from labeling.texts import storable
from labeling.withdrawals.room_given_back import (
    close_tasks,
    give_room_back,
    open_tasks_again,
    take_room_again,
)
from labeling.withdrawals.scope import Scope, check_scope
from labeling.work_queue.locks import lock_annotator
from storage.clock import now
from storage.errors import BadInput, Conflict, NotFound
from storage.tables import Account, Import, Project, Withdrawal


@dataclass(frozen=True)
class WithdrawalRow:
    """A withdrawal in the words of people; `reverted_at` is None as long as it holds."""

    id: int
    annotator: str | None
    import_file: str | None
    import_id: int | None
    since: datetime | None
    until: datetime | None
    reason: str
    requeued: bool
    by: str
    at: datetime
    reverted_at: datetime | None
    reverted_by: str | None
    reverted_reason: str

    @property
    def what(self) -> str:
        """Return what it takes out, in words."""
        parts = [self.annotator or "all annotators"]
        if self.import_id is not None:
            parts.append(f"import {self.import_id} ({self.import_file})")
        if self.since is not None:
            parts.append(f"from {self.since:%Y-%m-%d %H:%M}")
        if self.until is not None:
            parts.append(f"until {self.until:%Y-%m-%d %H:%M}")
        return ", ".join(parts)


def withdraw(
    session: Session,
    *,
    project: Project,
    by: Account | None,
    scope: Scope,
    reason: str,
    requeue: bool | None = None,
) -> Withdrawal:
    """Take what the scope means out of figures, snapshots and exports; the rows stay as they are.

    `by` asks (None: the person at the server's shell). With `requeue` (None: the project's setting
    `withdrawals.requeue`) tasks get back the room that those judgments took. Without an end of time
    what is judged later is withdrawn too. Of an import (and nothing else) the tasks leave the
    queue. Raises `BadInput` without a reason or a scope, `NotFound`, `NotAllowed`, `Conflict` where
    the same is withdrawn already. The session must be writing.
    """
    _may(by, key_of(project))
    project_id = key_of(project)
    scope = check_scope(session, project_id=project_id, scope=scope)
    reason = _given(reason)
    _take_turns(session, project_id, scope)
    _check_not_there(session, project_id, scope)
    if requeue is None:
        requeue = labeling_settings(project).withdrawals.requeue
    withdrawal = Withdrawal(
        project_id=project_id,
        annotator_id=scope.annotator_id,
        import_id=scope.import_id,
        since=scope.since,
        until=scope.until,
        reason=reason,
        requeued=requeue,
        by_id=by.id if by else None,
    )
    session.add(withdrawal)
    session.flush()
    tasks = give_room_back(session, withdrawal=withdrawal) if requeue else 0
    if scope == Scope(import_id=scope.import_id):
        close_tasks(session, withdrawal=withdrawal, by=by)
    _record(session, withdrawal, by, "judgments.withdrawn", reason, tasks)
    return withdrawal


def revert(
    session: Session, *, project: Project, by: Account | None, withdrawal_id: int, reason: str
) -> Withdrawal:
    """Put back what a withdrawal took out, unless another one covers it; return it.

    Raises `NotFound`, `Conflict` where it was reverted before, `BadInput` without a reason,
    `NotAllowed`. The session must be writing.
    """
    _may(by, key_of(project))
    found = session.exec(
        select(Withdrawal)
        .where(Withdrawal.id == withdrawal_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()
    if found is None or found.project_id != project.id:
        raise NotFound(
            f"There is no withdrawal {withdrawal_id} in this project; see `rankloop withdraw list`."
        )
    if found.reverted_at is not None:
        raise Conflict(f"Withdrawal {withdrawal_id} is reverted already; nothing is left to do.")
    _take_turns(session, key_of(project), Scope.of(found))
    found.reverted_at, found.reverted_reason = now(), _given(reason)
    found.reverted_by_id = by.id if by else None
    session.add(found)
    session.flush()
    tasks = take_room_again(session, withdrawal=found) if found.requeued else 0
    open_tasks_again(session, withdrawal=found)
    _record(session, found, by, "withdrawal.reverted", found.reverted_reason, tasks)
    return found


def withdrawals(
    session: Session, *, project_id: int, account: Account | None
) -> list[WithdrawalRow]:
    """Return the project's withdrawals, newest first, reverted ones too; raise `NotAllowed`."""
    _may(account, project_id)
    names = {row.id: row.name for row in session.exec(select(Account))}
    imports = session.exec(select(Import).where(Import.project_id == project_id))
    files = {one.id: one.file_name for one in imports}
    found = session.exec(
        select(Withdrawal)
        .where(Withdrawal.project_id == project_id)
        .order_by(col(Withdrawal.id).desc())
    )
    return [_row(one, names, files) for one in found]


def _row(
    one: Withdrawal, names: dict[int | None, str], files: dict[int | None, str]
) -> WithdrawalRow:
    return WithdrawalRow(
        id=key_of(one),
        annotator=names.get(one.annotator_id),
        import_file=files.get(one.import_id),
        import_id=one.import_id,
        since=one.since,
        until=one.until,
        reason=one.reason,
        requeued=one.requeued,
        by=names.get(one.by_id, "the server's shell"),
        at=one.created_at,
        reverted_at=one.reverted_at,
        reverted_by=names.get(one.reverted_by_id, "the server's shell")
        if one.reverted_at
        else None,
        reverted_reason=one.reverted_reason,
    )


def _may(account: Account | None, project_id: int) -> None:
    if account is not None:
        require(account, Action.WITHDRAW, project_id=project_id)


def _given(reason: str) -> str:
    if not reason.strip():
        raise BadInput("Give a reason; it is kept in the record.")
    return storable(reason.strip())


def _take_turns(session: Session, project_id: int, scope: Scope) -> None:
    """Wait for whoever withdraws the same, and for the annotator's submit that is under way.

    What they judge is either there before the withdrawal, or knows of it.
    """
    if scope.annotator_id is not None:
        lock_annotator(session, scope.annotator_id)
    else:
        one = (
            select(Project.id).where(Project.id == project_id)
            if scope.import_id is None
            else select(Import.id).where(Import.id == scope.import_id)
        )
        session.exec(one.with_for_update(key_share=True)).one()


def _check_not_there(session: Session, project_id: int, scope: Scope) -> None:
    standing = session.exec(
        select(Withdrawal).where(
            Withdrawal.project_id == project_id, col(Withdrawal.reverted_at).is_(None)
        )
    )
    for one in standing:
        if Scope.of(one) == scope:
            raise Conflict(f"Withdrawal {one.id} takes out the same already.")


def _record(
    session: Session,
    withdrawal: Withdrawal,
    by: Account | None,
    kind: str,
    reason: str,
    tasks: int,
) -> None:
    span = {"since": withdrawal.since, "until": withdrawal.until}
    record(
        session,
        project_id=withdrawal.project_id,
        account_id=by.id if by else None,
        kind=kind,
        withdrawal_id=withdrawal.id,
        annotator_id=withdrawal.annotator_id,
        import_id=withdrawal.import_id,
        **{name: at.isoformat() if at else None for name, at in span.items()},
        reason=reason,
        tasks_requeued=tasks,
    )
