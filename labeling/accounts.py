"""Accounts, passwords and sign-ins."""

import hashlib
import secrets
from datetime import timedelta
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.permissions import Action, require
from storage.clock import now
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import Account, AccountKind, Role, SignIn

MINIMUM_PASSWORD = 8
# argon2-cffi's defaults: Argon2id with RFC 9106's low-memory parameters.
_HASHER = PasswordHasher()


@cache
def _hash_of_nobody() -> str:
    return _HASHER.hash(secrets.token_urlsafe(16))


def generate_password() -> str:
    """Return a random password of 128 bits, safe to print and to type."""
    return secrets.token_urlsafe(16)


def create_account(
    session: Session,
    *,
    name: str,
    role: Role,
    password: str | None = None,
    kind: AccountKind = AccountKind.PERSON,
    by: Account | None = None,
) -> Account:
    """Store a new account; without a password nobody can sign in to it by password.

    `by` is the account that asks (None: the person at the server's shell). Raises `BadInput` on a
    name or password that does not fit, `Conflict` where the name is taken, `NotAllowed`.
    """
    if by is not None:
        require(by, Action.MANAGE_ACCOUNTS)
    if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
        raise BadInput(
            "An account's name must have 1 to 100 printable characters and no space at its ends."
        )
    if session.exec(select(Account.id).where(Account.name == name)).first() is not None:
        raise Conflict(f"There is an account named {name} already; choose another name.")
    account = Account(name=name, role=role, kind=kind)
    if password is not None:
        account.password_hash = _hash_of(password)
    session.add(account)
    session.flush()
    record(
        session,
        project_id=None,
        account_id=by.id if by else None,
        kind="account.created",
        created_id=account.id,
        name=name,
        role=str(role),
        account_kind=str(kind),
    )
    return account


def _hash_of(password: str) -> str:
    if len(password) < MINIMUM_PASSWORD:
        raise BadInput(f"The password is too short; use at least {MINIMUM_PASSWORD} characters.")
    return _HASHER.hash(password)


def authenticate(session: Session, *, name: str, password: str) -> Account:
    """Return the active account that `name` and `password` fit.

    Raises `NotAllowed` with one message, after one hash's time, whatever it was that did not fit:
    neither tells whether the name exists.
    """
    nobody = _hash_of_nobody()
    account = session.exec(select(Account).where(Account.name == name)).first()
    stored = account.password_hash if account and account.password_hash else nobody
    fits = _fits(stored, password)
    if account is None or stored is nobody or not fits or not _may_sign_in(account):
        raise NotAllowed("Name and password do not fit; check both, or ask an admin.")
    return account


def _may_sign_in(account: Account) -> bool:
    return account.active and not account.imported_from


def _fits(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def open_sign_in(session: Session, *, account_id: int, hours: float) -> str:
    """Open a sign-in and return its random token; only the token's SHA-256 is stored."""
    account = session.get(Account, account_id)
    if account is None or not _may_sign_in(account):
        raise NotFound("This account does not exist or is switched off; ask an admin.")
    token = secrets.token_urlsafe(32)
    session.add(
        SignIn(
            token_sha256=_digest(token),
            account_id=account_id,
            expires_at=now() + timedelta(hours=hours),
        )
    )
    record(session, project_id=None, account_id=account_id, kind="sign_in.opened")
    return token


def account_of_token(session: Session, *, token: str) -> Account | None:
    """Return the active account that holds `token`; None where it is unknown, closed or expired."""
    values = {"token_sha256": _digest(token), "at": now()}
    account: Account | None = session.exec(_signed_in_statement(), params=values).first()
    return account if account is not None and _may_sign_in(account) else None


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


def close_sign_in(session: Session, *, token: str) -> None:
    """Close a sign-in for good; an unknown or closed one is left as it is."""
    sign_in = session.get(SignIn, _digest(token))
    if sign_in is None or sign_in.revoked_at is not None:
        return
    sign_in.revoked_at = now()
    session.add(sign_in)
    record(session, project_id=None, account_id=sign_in.account_id, kind="sign_in.closed")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", errors="replace")).hexdigest()
