"""Invitations: links that work once, to a new account or to a new password for an old one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe

from sqlalchemy import ColumnElement, CursorResult, or_, update
from sqlmodel import Session, col, select

from labeling.accounts import store_account
from labeling.events import record
from labeling.keys import key_of
from labeling.people.own_password import set_password
from labeling.people.passwords import digest
from labeling.people.sign_ins import may_sign_in
from labeling.permissions import ELSEWHERE, Action, allows, require
from storage.clock import now
from storage.errors import BadInput, NotFound
from storage.tables import Account, Invitation, Project, Role

LONGEST_HOURS = 24 * 90


@dataclass(frozen=True)
class Offer:
    """What an open invitation offers: an account with a role, or a password for `account`."""

    role: Role
    project: str
    account: str
    expires_at: datetime


@dataclass(frozen=True)
class InvitationRow:
    """An invitation as those who invite see it; `state` is open, used, expired or revoked."""

    id: int
    role: str
    project: str
    account: str
    note: str
    by: str
    created_at: datetime
    expires_at: datetime
    state: str
    used_by: str


def invite(
    session: Session,
    *,
    role: Role,
    hours: float,
    by: Account | None,
    project: Project | None = None,
    note: str = "",
) -> tuple[Invitation, str]:
    """Store an invitation to a new account; return it with its code, which is kept nowhere.

    With `project` the role holds there and nowhere else. Leads may invite annotators to their
    project; for all else one must be an admin, or None (the server's shell). Raises `NotAllowed`,
    `BadInput`.
    """
    if by is not None:
        if project is not None and role is Role.ANNOTATOR:
            require(by, Action.INVITE, project_id=key_of(project))
        else:
            require(by, Action.MANAGE_ACCOUNTS, project_id=None)
    made = Invitation(
        code_sha256="", role=role, project_id=project.id if project else None, note=note,
        by_id=by.id if by else None, expires_at=_until(hours),
    )  # fmt: skip
    return made, _store(session, made, by)


def offer_new_password(
    session: Session, *, account: Account, hours: float, by: Account | None
) -> tuple[Invitation, str]:
    """Store a link that sets a new password for an account; return it with its code.

    Raises `NotAllowed` unless `by` is an admin or None, `BadInput` where nobody may sign in to it.
    """
    if by is not None:
        require(by, Action.MANAGE_ACCOUNTS, project_id=None)
    if not may_sign_in(account):
        raise BadInput(f"Nobody may sign in to {account.name}; switch the account on first.")
    made = Invitation(
        code_sha256="", role=account.role, account_id=key_of(account),
        by_id=by.id if by else None, expires_at=_until(hours),
    )  # fmt: skip
    return made, _store(session, made, by)


def _until(hours: float) -> datetime:
    if not 0 < hours <= LONGEST_HOURS:
        raise BadInput(f"A link is good for more than 0 and at most {LONGEST_HOURS} hours.")
    return now() + timedelta(hours=hours)


def _store(session: Session, made: Invitation, by: Account | None) -> str:
    if len(made.note) > 200:
        raise BadInput("A note has at most 200 characters; say it in fewer.")
    code = token_urlsafe(32)
    made.code_sha256 = digest(code)
    session.add(made)
    session.flush()
    _record(session, made, by, "invitation.made", role=str(made.role), whose_id=made.account_id)
    return code


def offered(session: Session, *, code: str) -> Offer:
    """Return what an invitation offers; raise `NotFound` where it is not open any more."""
    row = session.exec(
        select(Invitation).where(col(Invitation.code_sha256) == digest(code), *_open())
    ).first()
    if row is None:
        raise _gone()
    project = session.get(Project, row.project_id) if row.project_id else None
    account = session.get(Account, row.account_id) if row.account_id else None
    if account is not None and not may_sign_in(account):
        raise _gone()
    return Offer(
        role=row.role,
        project=project.name if project else "",
        account=account.name if account else "",
        expires_at=row.expires_at,
    )


def accept(
    session: Session,
    *,
    code: str,
    name: str,
    password: str | None,
    breached: Path | None = None,
) -> Account:
    """Use an invitation up, and return the account that it made or gave a new password.

    `name` is the new account's; one that is there keeps its own. Without a password the new account
    is signed in to in another way. Of two who use it at once, one gets it. Raises `NotFound` where
    it is not open, `BadInput` and `Conflict` for a name or password that cannot be; it then stays
    open.
    """
    row = _use_up(session, code)
    if row.account_id is None:
        account = store_account(
            session, name=name, role=row.role, password=password, breached=breached
        )
        if row.project_id is not None:
            account.role = Role.ANNOTATOR
            account.project_roles = {ELSEWHERE: "", str(row.project_id): str(row.role)}
    else:
        account = session.get_one(Account, row.account_id)
        if not may_sign_in(account) or password is None:
            raise _gone()
        set_password(session, account=account, new=password, by=account, breached=breached)
    row.used_by_id = key_of(account)
    session.add(row)
    session.add(account)
    _record(session, row, account, "invitation.used", whose_id=account.id)
    return account


def _use_up(session: Session, code: str) -> Invitation:
    # One statement decides, so that no two can both have found it open.
    result = session.execute(
        update(Invitation)
        .where(col(Invitation.code_sha256) == digest(code), *_open())
        .values(used_at=now()),
        execution_options={"synchronize_session": False},
    )
    assert isinstance(result, CursorResult)
    if result.rowcount != 1:
        raise _gone()
    return session.exec(
        select(Invitation)
        .where(col(Invitation.code_sha256) == digest(code))
        .execution_options(populate_existing=True)
    ).one()


def _open() -> list[ColumnElement[bool]]:
    return [
        col(Invitation.used_at).is_(None),
        col(Invitation.revoked_at).is_(None),
        col(Invitation.expires_at) > now(),
    ]


def _gone() -> NotFound:
    return NotFound("This link was used, has expired or was taken back; ask for a new one.")


def invitations(
    session: Session, *, by: Account | None, project: Project | None = None
) -> list[InvitationRow]:
    """Return the invitations, newest first: all for admins, a lead's those of their project."""
    statement = select(Invitation).order_by(col(Invitation.id).desc())
    if by is not None and not allows(by, Action.MANAGE_ACCOUNTS, project_id=None):
        key = key_of(project) if project is not None else 0
        require(by, Action.INVITE, project_id=key)
        statement = statement.where(col(Invitation.project_id) == key)
    rows = session.exec(statement).all()
    names = _names(session, rows)
    projects = {each.id: each.name for each in session.exec(select(Project))}
    return [_row(row, names, projects) for row in rows]


def _names(session: Session, rows: Sequence[Invitation]) -> dict[int, str]:
    wanted = {key for row in rows for key in (row.account_id, row.by_id, row.used_by_id)} - {None}
    found = session.exec(select(Account.id, Account.name).where(col(Account.id).in_(wanted)))
    return {key: name for key, name in found if key is not None}


def _row(row: Invitation, names: dict[int, str], projects: dict[int | None, str]) -> InvitationRow:
    return InvitationRow(
        id=key_of(row),
        role=str(row.role),
        project=projects.get(row.project_id, "") if row.project_id else "",
        account=names.get(row.account_id or 0, ""),
        note=row.note,
        by=names.get(row.by_id or 0, ""),
        created_at=row.created_at,
        expires_at=row.expires_at,
        state=_state(row),
        used_by=names.get(row.used_by_id or 0, ""),
    )


def _state(row: Invitation) -> str:
    if row.used_at is not None:
        return "used"
    if row.revoked_at is not None:
        return "revoked"
    return "open" if row.expires_at > now() else "expired"


def revoke_invitation(session: Session, *, invitation_id: int, by: Account | None) -> None:
    """Take an open invitation back; raise `NotFound` where it is not open, `NotAllowed`."""
    row = session.get(Invitation, invitation_id)
    if row is not None and by is not None:
        annotators = row.project_id is not None and row.role is Role.ANNOTATOR
        if annotators:
            require(by, Action.INVITE, project_id=row.project_id)
        else:
            require(by, Action.MANAGE_ACCOUNTS, project_id=None)
    if row is None or not _take_back(session, row):
        raise NotFound("This invitation is not open any more; list them again.")
    _record(session, row, by, "invitation.revoked")


def _take_back(session: Session, row: Invitation) -> bool:
    """Revoke an invitation; say whether it was open. Whoever is just using it is waited for."""
    result = session.execute(
        update(Invitation).where(col(Invitation.id) == row.id, *_open()).values(revoked_at=now()),
        execution_options={"synchronize_session": False},
    )
    assert isinstance(result, CursorResult)
    session.expire(row)
    return result.rowcount == 1


def revoke_open_of(session: Session, *, account: Account, by: Account | None) -> None:
    """Take back the open invitations that an account made, and the links to a password for it."""
    rows = session.exec(
        select(Invitation).where(
            or_(
                col(Invitation.by_id) == key_of(account),
                col(Invitation.account_id) == key_of(account),
            ),
            *_open(),
        )
    )
    for row in rows.all():
        if _take_back(session, row):
            _record(session, row, by, "invitation.revoked")


def _record(
    session: Session, row: Invitation, by: Account | None, kind: str, **detail: object
) -> None:
    record(
        session,
        project_id=row.project_id,
        account_id=by.id if by else None,
        kind=kind,
        invitation_id=row.id,
        **detail,
    )
