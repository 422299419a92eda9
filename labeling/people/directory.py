"""The accounts as those who manage them see them."""

from dataclasses import dataclass
from datetime import datetime
from unicodedata import normalize

from sqlalchemy import func
from sqlmodel import Session, col, select

from labeling.keys import key_of
from labeling.permissions import ELSEWHERE, Action, require
from storage.clock import now
from storage.tables import Account, Project, SignIn


@dataclass(frozen=True)
class AccountRow:
    """An account; `project_roles` by project name ("" as role: none there; "*": all others)."""

    id: int
    name: str
    role: str
    project_roles: dict[str, str]
    kind: str
    state: str
    has_password: bool
    has_oidc: bool
    created_at: datetime
    seen_at: datetime | None
    sign_ins: int


def accounts(session: Session, *, by: Account | None, search: str = "") -> list[AccountRow]:
    """Return the accounts whose name has `search` in it, by name.

    `state` is active, off, imported or erased. Raises `NotAllowed` unless `by` is an admin or None.
    """
    if by is not None:
        require(by, Action.MANAGE_ACCOUNTS, project_id=None)
    # Not by the database: SQLite, and PostgreSQL by its settings, knows capitals of ASCII alone.
    found = [one for one in session.exec(select(Account)) if _plain(search) in _plain(one.name)]
    found.sort(key=lambda one: _plain(one.name))
    projects = {str(each.id): each.name for each in session.exec(select(Project))}
    seen = _seen(session)
    counts = _open_counts(session)
    return [
        AccountRow(
            id=key_of(one),
            name=one.name,
            role=str(one.role),
            project_roles=_by_name(one, projects),
            kind=str(one.kind),
            state=_state(one),
            has_password=one.password_hash is not None,
            has_oidc=one.oidc_subject is not None,
            created_at=one.created_at,
            seen_at=seen.get(key_of(one)),
            sign_ins=counts.get(key_of(one), 0),
        )
        for one in found
    ]


def _plain(name: str) -> str:
    """Return a name as it is compared: without capitals, an accent with its letter."""
    return normalize("NFC", normalize("NFC", name).casefold())


def _by_name(account: Account, projects: dict[str, str]) -> dict[str, str]:
    names = {ELSEWHERE: ELSEWHERE, **projects}
    return {names.get(key, f"#{key}"): role for key, role in account.project_roles.items()}


def _state(account: Account) -> str:
    if account.erased_at is not None:
        return "erased"
    if account.imported_from:
        return "imported"
    return "active" if account.active else "off"


def _seen(session: Session) -> dict[int, datetime]:
    latest = func.max(func.coalesce(col(SignIn.last_seen_at), col(SignIn.created_at)))
    found = session.exec(select(SignIn.account_id, latest).group_by(col(SignIn.account_id)))
    return dict(found.all())


def _open_counts(session: Session) -> dict[int, int]:
    statement = (
        select(SignIn.account_id, func.count())
        .where(col(SignIn.revoked_at).is_(None), col(SignIn.expires_at) > now())
        .group_by(col(SignIn.account_id))
    )
    return dict(session.exec(statement).all())
