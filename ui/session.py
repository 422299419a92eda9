"""Who is at the page: asked anew in each run of the script, by the cookie of its websocket."""

from urllib.parse import urlsplit

import streamlit as st

from labeling.accounts import account_of_token
from storage.engine import reading
from storage.tables import Account
from ui import process
from ui.components.leave import leave
from ui.cookie import COOKIE, LANGUAGE_COOKIE
from ui.languages import Words, words_for


def current_account() -> Account | None:
    """Return the account that is signed in, or None."""
    token = st.context.cookies.get(COOKIE)
    if not token:
        return None
    with reading(process.engine()) as session:
        return account_of_token(session, token=token)


def require_account() -> Account:
    """Return the account that is signed in; send everyone else to the sign-in page."""
    account = current_account()
    if account is None:
        leave("/login", next=urlsplit(st.context.url or "/").path or "/")
        raise AssertionError("unreachable: leave() ends the run")
    return account


def words() -> Words:
    """Return the words of the language that was chosen, or that the browser asks for."""
    chosen = st.context.cookies.get(LANGUAGE_COOKIE)
    return words_for(st.context.headers.get("Accept-Language"), chosen)


def sign_out() -> None:
    """Sign out by the form that the server answers."""
    leave("/logout", method="post")
