"""Sign-ins of browsers: opened, looked up by their token, listed, closed and revoked."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from secrets import token_urlsafe
from typing import Any

from sqlalchemy import CursorResult, bindparam, or_, update
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.people.passwords import digest
from labeling.permissions import Action, require
from storage.clock import now
from storage.errors import BadInput, NotAllowed, NotFound
from storage.tables import Account, SignIn, SignInWay

#: characters of a token's hash by which a sign-in is named
NAME_LENGTH = 16
ENDED = "Your sign-in has ended; sign in again."


@dataclass(frozen=True)
class Browser:
    """Where a request comes from: an address and what the browser calls itself."""

    address: str = ""
    user_agent: str = ""


@dataclass(frozen=True)
class SignInRow:
    """A sign-in as people see it; `name` names it, and is no secret."""

    name: str
    way: str
    address: str
    user_agent: str
    opened_at: datetime
    seen_at: datetime
    expires_at: datetime
    is_this: bool


def may_sign_in(account: Account) -> bool:
    """Say whether an account is one that somebody can be signed in to."""
    return account.active and not account.imported_from and account.erased_at is None


def open_sign_in(
    session: Session,
    *,
    account_id: int,
    hours: float,
    way: SignInWay = SignInWay.PASSWORD,
    browser: Browser = Browser(),
    password_hash: str | None = None,
) -> str:
    """Open a sign-in and return its random token; only the token's SHA-256 is stored.

    `password_hash` is the stored hash that a password was found to fit, in an earlier transaction.
    Raises `NotAllowed` where the account has another one by now, `NotFound` where nobody may sign
    in to it.
    """
    # Whoever changes the password, switches off or erases closes what is open by then: this either
    # comes before, or knows of it.
    account = session.get(
        Account, account_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if account is None or not may_sign_in(account):
        raise NotFound("This account does not exist or is switched off; ask an admin.")
    if password_hash is not None and password_hash != account.password_hash:
        raise NotAllowed("The password was changed just now; sign in with the new one.")
    token = token_urlsafe(32)
    session.add(
        SignIn(
            token_sha256=digest(token),
            account_id=account_id,
            expires_at=now() + timedelta(hours=hours),
            last_seen_at=now(),
            way=way,
            address=browser.address[:45],
            user_agent=_printable(browser.user_agent)[:300],
        )
    )
    record(
        session,
        project_id=None,
        account_id=account_id,
        kind="sign_in.opened",
        way=str(way),
        personal={"address": browser.address[:45]},
    )
    return token


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def account_of_token(session: Session, *, token: str) -> Account | None:
    """Return the active account that holds `token`; None where it is unknown, closed or expired."""
    values = {"token_sha256": digest(token), "at": now()}
    account: Account | None = session.exec(_signed_in_statement(), params=values).first()
    return account if account is not None and may_sign_in(account) else None


def was_issued(session: Session, *, token: str) -> bool:
    """Say whether `token` is of a sign-in of this server, whether it still counts or not."""
    return session.get(SignIn, digest(token)) is not None


def way_of(session: Session, *, token: str) -> SignInWay | None:
    """Return how the sign-in of `token` was opened, whether it still counts; None of no sign-in."""
    found = session.get(SignIn, digest(token))
    return None if found is None else found.way


@cache
def _signed_in_statement() -> Any:
    return (
        select(Account)
        .join(SignIn, col(SignIn.account_id) == col(Account.id))
        .where(
            col(SignIn.token_sha256) == bindparam("token_sha256"),
            col(SignIn.revoked_at).is_(None),
            col(SignIn.expires_at) > bindparam("at"),
        )
        .execution_options(populate_existing=True)
    )


def note_seen(session: Session, *, token: str, minutes: float) -> None:
    """Remember that a sign-in was used now, unless that was remembered `minutes` ago or later."""
    before = now() - timedelta(minutes=minutes)
    session.execute(
        update(SignIn)
        .where(
            col(SignIn.token_sha256) == digest(token),
            or_(col(SignIn.last_seen_at).is_(None), col(SignIn.last_seen_at) < before),
        )
        .values(last_seen_at=now())
    )


def open_sign_ins(
    session: Session, *, account: Account, by: Account | None, token: str | None = None
) -> list[SignInRow]:
    """Return the sign-ins of an account that count, the one seen last first.

    `token` is the asking browser's own. Raises `NotAllowed` unless `by` is the account itself, an
    admin, or None (the server's shell).
    """
    require_own_or_admin(account, by)
    rows = session.exec(select(SignIn).where(*_counting(account)))
    own = None if token is None else digest(token)
    found = [_row(row, own) for row in rows]
    return sorted(found, key=lambda row: row.seen_at, reverse=True)


def _row(row: SignIn, own: str | None) -> SignInRow:
    return SignInRow(
        name=row.token_sha256[:NAME_LENGTH],
        way=str(row.way),
        address=row.address,
        user_agent=row.user_agent,
        opened_at=row.created_at,
        seen_at=row.last_seen_at or row.created_at,
        expires_at=row.expires_at,
        is_this=row.token_sha256 == own,
    )


def _counting(account: Account) -> list[Any]:
    return [
        col(SignIn.account_id) == key_of(account),
        col(SignIn.revoked_at).is_(None),
        col(SignIn.expires_at) > now(),
    ]


def close_sign_in(session: Session, *, token: str) -> None:
    """Close a sign-in for good; an unknown or closed one is left as it is."""
    sign_in = session.get(SignIn, digest(token))
    if sign_in is None or sign_in.revoked_at is not None:
        return
    sign_in.revoked_at = now()
    session.add(sign_in)
    record(session, project_id=None, account_id=sign_in.account_id, kind="sign_in.closed")


def revoke_sign_in(session: Session, *, account: Account, name: str, by: Account | None) -> None:
    """Close the sign-in of that name; raise `NotFound` where the account has no open one."""
    require_own_or_admin(account, by)
    if len(name) != NAME_LENGTH:
        raise BadInput(f"A sign-in's name has {NAME_LENGTH} characters; list the sign-ins.")
    rows = session.exec(select(SignIn).where(*_counting(account))).all()
    row = next((each for each in rows if each.token_sha256.startswith(name)), None)
    if row is None:
        raise NotFound("This sign-in is closed already; list the sign-ins again.")
    row.revoked_at = now()
    session.add(row)
    _record_revoked(session, account, by, count=1)


def revoke_sign_ins(
    session: Session, *, account: Account, by: Account | None, but_token: str | None = None
) -> int:
    """Close every open sign-in of an account, but for one's own; return how many they were."""
    require_own_or_admin(account, by)
    return close_all(session, account=account, by=by, but_token=but_token)


def close_all(
    session: Session, *, account: Account, by: Account | None, but_token: str | None = None
) -> int:
    """Close every open sign-in of an account, whoever asks: for deeds that bring it with them."""
    statement = update(SignIn).where(*_counting(account)).values(revoked_at=now())
    if but_token is not None:
        statement = statement.where(col(SignIn.token_sha256) != digest(but_token))
    session.flush()
    result = session.execute(statement, execution_options={"synchronize_session": "fetch"})
    assert isinstance(result, CursorResult)
    if result.rowcount:
        _record_revoked(session, account, by, count=result.rowcount)
    return int(result.rowcount)


def _record_revoked(session: Session, account: Account, by: Account | None, *, count: int) -> None:
    record(
        session,
        project_id=None,
        account_id=by.id if by else None,
        kind="sign_in.revoked",
        whose_id=account.id,
        count=count,
    )


def require_own_or_admin(account: Account, by: Account | None) -> None:
    """Raise `NotAllowed` unless `by` is the account itself, an admin, or None (the shell)."""
    if by is not None and by.id != account.id:
        require(by, Action.MANAGE_ACCOUNTS, project_id=None)
