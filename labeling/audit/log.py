"""The audit log, read: who did what, when and from where, a page at a time or as a whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, text
from sqlmodel import Session, col

from labeling.audit.kinds import AUDITED, words_of
from labeling.audit.told import about, told
from labeling.permissions import Action, require
from storage.errors import BadInput
from storage.tables import Account, Event, Project
from storage.tables.events import AUDITED_EVENT

SHELL = "the server's shell"
NOBODY = "nobody who is known"
#: deeds of people whom the server did not let in
STRANGERS = ("sign_in.failed", "access_token.refused")
#: rows that are read at once where the whole log is wanted
AT_ONCE = 1000


@dataclass(frozen=True)
class AuditChoice:
    """Which part of the log is wanted; empty is all of it. `until` is not included."""

    kinds: Sequence[str] = ()
    account_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class AuditRow:
    """One deed: who did what to whom, when, from which address; `told` has the rest in words."""

    id: int
    at: datetime
    account_id: int | None
    who: str
    kind: str
    what: str
    whom: str
    project: str
    address: str
    told: str

    def as_dict(self) -> dict[str, Any]:
        """Return the row for a file: its time as ISO 8601 text."""
        # `asdict` would copy each value in depth, and take longer than to read the row.
        return {**vars(self), "at": self.at.isoformat()}


#: columns of the log as files have them
COLUMNS = tuple(AuditRow.__dataclass_fields__)


def audit_rows(
    session: Session,
    *,
    account: Account | None,
    choice: AuditChoice = AuditChoice(),
    before: int | None = None,
    most: int = 50,
) -> list[AuditRow]:
    """Return at most `most` deeds with a lower id than `before`, newest first.

    `account` asks (None: the person at the server's shell). Raises `NotAllowed`, `BadInput` on a
    kind that the log has not.
    """
    if account is not None:
        require(account, Action.SEE_AUDIT, project_id=None)
    statement = _statement(choice)
    if before is not None:
        statement = statement.where(col(Event.id) < before)
    rows = session.execute(statement.limit(most)).all()
    return _rows(session, rows)


def audit_log(
    session: Session, *, account: Account | None, choice: AuditChoice = AuditChoice()
) -> Iterator[AuditRow]:
    """Yield all of it, newest first, `AT_ONCE` at a time; raise as `audit_rows` does."""
    before = None
    while True:
        rows = audit_rows(session, account=account, choice=choice, before=before, most=AT_ONCE)
        yield from rows
        if len(rows) < AT_ONCE:
            return
        before = rows[-1].id


def _statement(choice: AuditChoice) -> Select[Event]:
    unknown = sorted(set(choice.kinds) - set(AUDITED))
    if unknown:
        raise BadInput(f"The audit log has no {unknown[0]}; there are {', '.join(AUDITED)}.")
    statement = select(Event).where(text(AUDITED_EVENT)).order_by(col(Event.id).desc())
    if choice.kinds:
        statement = statement.where(col(Event.kind).in_(sorted(choice.kinds)))
    if choice.account_id is not None:
        statement = statement.where(col(Event.account_id) == choice.account_id)
    if choice.since is not None:
        statement = statement.where(col(Event.created_at) >= choice.since)
    if choice.until is not None:
        statement = statement.where(col(Event.created_at) < choice.until)
    return statement


def _rows(session: Session, found: Sequence[Any]) -> list[AuditRow]:
    events = [row[0] for row in found]
    people = {one.account_id for one in events} | {about(one.kind, one.detail) for one in events}
    names: dict[int, str] = {
        int(key or 0): name
        for key, name in session.execute(
            select(col(Account.id), col(Account.name)).where(col(Account.id).in_(people - {None}))
        )
    }
    projects = {
        one.id: one.name for one in session.execute(select(col(Project.id), col(Project.name)))
    }
    return [_row(event, names, projects) for event in events]


def _row(event: Event, names: dict[int, str], projects: dict[Any, str]) -> AuditRow:
    assert event.id is not None
    whom, personal = about(event.kind, event.detail), dict(event.personal or {})
    called = "" if whom is None else names.get(whom, f"account {whom}")
    if personal.get("name") == called:
        del personal["name"]
    unknown = NOBODY if event.kind in STRANGERS else SHELL
    return AuditRow(
        id=event.id,
        at=event.created_at,
        account_id=event.account_id,
        who=unknown if event.account_id is None else names.get(event.account_id, ""),
        kind=event.kind,
        what=words_of(event.kind),
        whom=called,
        project=projects.get(event.project_id, ""),
        address=str(personal.pop("address", "")),
        told=told(event.kind, {**event.detail, **personal}),
    )
