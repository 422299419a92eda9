"""Somebody whom a provider vouches for: their account, and their sign-in here (blocks)."""

from labeling.accounts import account_of_token, open_sign_in
from labeling.events import from_address
from labeling.keys import key_of
from labeling.people.failed_sign_ins import record_refusal
from labeling.people.identities import Identity, account_of_identity, link_identity
from labeling.people.sign_ins import ENDED, Browser
from storage.engine import writing
from storage.errors import Conflict, NotAllowed, NotFound
from storage.tables import SignInWay
from ui import process


def come_in(
    identity: Identity, invitation: str | None, own_token: str | None, browser: Browser
) -> str:
    """Return the token of a new sign-in; "" where the account of `own_token` was linked instead.

    Raises what `account_of_identity` and `link_identity` raise.
    """
    try:
        try:
            return _come_in(identity, invitation, own_token, browser)
        except (Conflict, NotFound):
            # Two tabs that come for the first time at once: the other one has made the account,
            # used the link up or taken the name. What was no such race fails again.
            return _come_in(identity, invitation, own_token, browser)
    except NotAllowed:
        with writing(process.engine()) as session:
            record_refusal(session, way=SignInWay.OIDC, browser=browser)
        raise


def _come_in(
    identity: Identity, invitation: str | None, own_token: str | None, browser: Browser
) -> str:
    settings = process.settings()
    with from_address(browser.address), writing(process.engine()) as session:
        if own_token is not None:
            account = account_of_token(session, token=own_token)
            if account is None:
                raise NotAllowed(ENDED)
            link_identity(session, account=account, identity=identity, settings=settings.oidc)
            return ""
        account = account_of_identity(
            session, identity=identity, settings=settings.oidc, invitation=invitation
        )
        return open_sign_in(
            session,
            account_id=key_of(account),
            hours=settings.sign_in_hours,
            way=SignInWay.OIDC,
            browser=browser,
        )
