"""Accounts: made, found by name, and known by their password."""

from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from labeling.events import record
from labeling.people import passwords
from labeling.people.passwords import MINIMUM_PASSWORD, generate_password, hash_password
from labeling.people.sign_ins import (
    account_of_token,
    close_sign_in,
    may_sign_in,
    open_sign_in,
)
from labeling.permissions import Action, require
from labeling.texts import storable
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import Account, AccountKind, Role

__all__ = [
    "MINIMUM_PASSWORD", "account_of_token", "authenticate", "close_sign_in", "create_account",
    "find_account", "generate_password", "open_sign_in",
]  # fmt: skip


def create_account(
    session: Session,
    *,
    name: str,
    role: Role,
    password: str | None = None,
    kind: AccountKind = AccountKind.PERSON,
    by: Account | None = None,
    breached: Path | None = None,
) -> Account:
    """Store a new account; without a password nobody can sign in to it by password.

    `by` is the account that asks (None: the person at the server's shell). Raises `BadInput` on a
    name or password that does not fit, `Conflict` where the name is taken, `NotAllowed`.
    """
    if by is not None:
        require(by, Action.MANAGE_ACCOUNTS, project_id=None)
    return store_account(
        session, name=name, role=role, password=password, kind=kind, by=by, breached=breached
    )


def store_account(
    session: Session,
    *,
    name: str,
    role: Role,
    password: str | None = None,
    kind: AccountKind = AccountKind.PERSON,
    by: Account | None = None,
    breached: Path | None = None,
) -> Account:
    """Store a new account as `create_account` does, for somebody whose right was looked at."""
    if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
        raise BadInput(
            "An account's name must have 1 to 100 printable characters and no space at its ends."
        )
    if session.exec(select(Account.id).where(Account.name == name)).first() is not None:
        raise _taken(name)
    account = Account(name=name, role=role, kind=kind)
    if password is not None:
        account.password_hash = hash_password(password, breached=breached)
    session.add(account)
    try:
        session.flush()
    except IntegrityError as error:
        raise _taken(name) from error
    record(
        session,
        project_id=None,
        account_id=by.id if by else None,
        kind="account.created",
        created_id=account.id,
        personal={"name": name},
        role=str(role),
        account_kind=str(kind),
    )
    return account


def _taken(name: str) -> Conflict:
    return Conflict(f"There is an account named {name} already; choose another name.")


def find_account(session: Session, *, name: str) -> Account:
    """Return the account of that name; raise `NotFound` without one."""
    account = session.exec(select(Account).where(Account.name == name)).first()
    if account is None:
        raise NotFound(f"There is no account {name}; `rankloop account list` names them.")
    return account


def authenticate(session: Session, *, name: str, password: str) -> Account:
    """Return the active account that `name` and `password` fit.

    Raises `NotAllowed` with one message, after one hash's time, whatever it was that did not fit:
    neither tells whether the name exists.
    """
    nobody = passwords.hash_of_nobody()
    account = session.exec(select(Account).where(Account.name == storable(name))).first()
    stored = account.password_hash if account and account.password_hash else nobody
    fits = passwords.fits(stored, password)
    if account is None or stored is nobody or not fits or not may_sign_in(account):
        raise NotAllowed("Name and password do not fit; check both, or ask an admin.")
    return account
