"""Personal access tokens: made and revoked by whose they are, shown once, kept as a hash."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_urlsafe

from sqlalchemy import ColumnElement, or_, update
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.people.passwords import digest
from labeling.people.sign_ins import may_sign_in
from labeling.permissions import Action, require
from storage.clock import now
from storage.errors import BadInput, NotAllowed, NotFound
from storage.tables import AccessToken, Account

PREFIX = "rlt_"


@dataclass(frozen=True)
class TokenRow:
    """A token as people see it."""

    id: int
    name: str
    actions: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class NotGood:
    """A token that was made here and is worth nothing now."""

    token_id: int
    account_id: int
    why: str


def make_token(
    session: Session,
    *,
    account: Account,
    name: str,
    days: float,
    longest: float,
    by: Account | None,
    actions: Collection[str] = (),
) -> tuple[AccessToken, str]:
    """Store a token for a program of the account; return it with its secret, which is not kept.

    It may do what the account may, narrowed to `actions` where some are named. `longest` (days) is
    the setting of that name. Raises `NotAllowed` unless `by` is the account itself or None (the
    server's shell), `BadInput` on a name, action or number of days that does not fit.
    """
    _require_own(account, by)
    # As it is now: an erasure that is under way takes away the tokens that it knows of.
    stored = session.get(
        Account, key_of(account), with_for_update={"key_share": True}, populate_existing=True
    )
    if stored is None or not may_sign_in(stored):
        raise NotAllowed(f"Nobody may sign in to {account.name}; switch the account on first.")
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise BadInput("A token's name has 1 to 100 printable characters; say what it is for.")
    if not 0 < days <= longest:
        raise BadInput(f"A token is good for more than 0 and at most {longest:g} days.")
    unknown = sorted(set(actions) - {str(action) for action in Action})
    if unknown:
        raise BadInput(f"There is no action {unknown[0]}; there are {', '.join(map(str, Action))}.")
    secret = PREFIX + token_urlsafe(32)
    made = AccessToken(
        token_sha256=digest(secret),
        account_id=key_of(account),
        name=name.strip(),
        actions=sorted(actions),
        expires_at=now() + timedelta(days=days),
    )
    session.add(made)
    session.flush()
    _record(session, made, by, "access_token.made", actions=made.actions)
    return made, secret


def account_of_secret(session: Session, *, secret: str) -> tuple[Account, AccessToken] | None:
    """Return the active account that a token is of, with the token; None where it is worth nothing.

    What is done with it must be done under `permissions.narrowed_to` its actions.
    """
    if not secret.startswith(PREFIX):
        return None
    found = session.exec(
        select(Account, AccessToken)
        .join(AccessToken, col(AccessToken.account_id) == col(Account.id))
        .where(col(AccessToken.token_sha256) == digest(secret), *_open())
        .execution_options(populate_existing=True)
    ).first()
    return None if found is None or not may_sign_in(found[0]) else (found[0], found[1])


def not_good(session: Session, *, secret: str) -> NotGood | None:
    """Return which token a secret is of and why it is not good; None where there never was one.

    Of one that is good it says that the account is switched off: ask `account_of_secret` first.
    """
    statement = select(AccessToken).where(col(AccessToken.token_sha256) == digest(secret))
    row = session.exec(statement).first()
    if row is None:
        return None
    expired = row.expires_at is not None and row.expires_at <= now()
    why = "revoked" if row.revoked_at else "expired" if expired else "account switched off"
    return NotGood(token_id=key_of(row), account_id=row.account_id, why=why)


def note_used(session: Session, *, token_id: int, minutes: float) -> None:
    """Remember that a token was used now, unless that was remembered `minutes` ago or later."""
    before = now() - timedelta(minutes=minutes)
    session.execute(
        update(AccessToken)
        .where(
            col(AccessToken.id) == token_id,
            or_(col(AccessToken.last_used_at).is_(None), col(AccessToken.last_used_at) < before),
        )
        .values(last_used_at=now())
    )


def tokens(session: Session, *, account: Account, by: Account | None) -> list[TokenRow]:
    """Return the tokens of an account that are good, newest first.

    Raises `NotAllowed` unless `by` is the account itself, an admin, or None.
    """
    _require_own_or_admin(account, by)
    rows = session.exec(
        select(AccessToken)
        .where(col(AccessToken.account_id) == key_of(account), *_open())
        .order_by(col(AccessToken.id).desc())
    )
    return [
        TokenRow(
            id=key_of(row),
            name=row.name,
            actions=tuple(row.actions),
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
        )
        for row in rows
    ]


def revoke_token(session: Session, *, account: Account, token_id: int, by: Account | None) -> None:
    """Make a token worth nothing; raise `NotFound` where the account has no such good one."""
    _require_own_or_admin(account, by)
    row = session.exec(
        select(AccessToken).where(
            col(AccessToken.id) == token_id,
            col(AccessToken.account_id) == key_of(account),
            *_open(),
        )
    ).first()
    if row is None:
        raise NotFound(f"{account.name} has no token {token_id} that is good; list them again.")
    row.revoked_at = now()
    session.add(row)
    _record(session, row, by, "access_token.revoked")


def _open() -> list[ColumnElement[bool]]:
    return [
        col(AccessToken.revoked_at).is_(None),
        or_(col(AccessToken.expires_at).is_(None), col(AccessToken.expires_at) > now()),
    ]


def _require_own(account: Account, by: Account | None) -> None:
    if by is not None and by.id != account.id:
        raise NotAllowed("Only whose account it is makes a token for it; they do it themselves.")


def _require_own_or_admin(account: Account, by: Account | None) -> None:
    if by is not None and by.id != account.id:
        require(by, Action.MANAGE_ACCOUNTS, project_id=None)


def _record(
    session: Session, row: AccessToken, by: Account | None, kind: str, **detail: object
) -> None:
    record(
        session,
        project_id=None,
        account_id=by.id if by else None,
        kind=kind,
        personal={"name": row.name},
        token_id=row.id,
        whose_id=row.account_id,
        **detail,
    )
