"""New passwords for accounts that exist."""

from pathlib import Path

from sqlmodel import Session

from labeling.events import record
from labeling.people.passwords import fits, hash_password
from labeling.people.sign_ins import close_all
from storage.errors import NotAllowed
from storage.tables import Account


class WrongPassword(NotAllowed):
    """Says that somebody who is signed in does not know the account's password."""


def change_password(
    session: Session,
    *,
    account: Account,
    old: str,
    new: str,
    token: str | None,
    breached: Path | None = None,
) -> int:
    """Give the account a new password and close its other sign-ins; return how many they were.

    `token` is of the browser that asks; it stays signed in. Raises `WrongPassword` where `old` is
    not the password, which the caller counts; `NotAllowed` for an account without one (it cannot
    prove who asks, and needs a link of an admin); `BadInput` where `new` may not be one.
    """
    # Of two changes at once the second is told that the old password is another by now.
    stored = session.get_one(
        Account, account.id, with_for_update={"key_share": True}, populate_existing=True
    )
    if stored.password_hash is None:
        raise NotAllowed("This account has no password yet; ask an admin for a link to set one.")
    if not fits(stored.password_hash, old):
        raise WrongPassword("The password that you have now is another; type it again.")
    return set_password(session, account=stored, new=new, by=stored, token=token, breached=breached)


def set_password(
    session: Session,
    *,
    account: Account,
    new: str,
    by: Account | None,
    token: str | None = None,
    breached: Path | None = None,
) -> int:
    """Set a password, whoever asks, and close the sign-ins but for that of `token`."""
    account.password_hash = hash_password(new, breached=breached)
    session.add(account)
    record(
        session,
        project_id=None,
        account_id=by.id if by else None,
        kind="account.password_changed",
        whose_id=account.id,
    )
    return close_all(session, account=account, by=by, but_token=token)
