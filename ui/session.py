"""Who is at the page: asked anew in each run of the script, by the cookie of its websocket."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError
from streamlit.runtime.scriptrunner import get_script_run_ctx

from labeling.events import ask_for_address
from labeling.keys import key_of
from labeling.people.sign_ins import account_of_token, note_seen
from storage.engine import asking, writing
from storage.tables import Account
from ui import process
from ui.components import leave as leaving
from ui.components.leave import leave
from ui.cookie import COOKIE, LANGUAGE_COOKIE
from ui.database import NoDatabase, retried
from ui.languages import Words, words_for
from ui.last_seen import LastSeen
from ui.plain_text import plain

_log = logging.getLogger(__name__)
_last_seen = LastSeen()


def _address() -> str:
    if get_script_run_ctx(suppress_warning=True) is None:
        return ""
    found = st.context.ip_address
    # Where no server runs, as in Streamlit's AppTest, it is no text.
    return found if isinstance(found, str) else ""


# A page's deeds are recorded with where its browser is, whichever callback does them.
ask_for_address(_address)


def current_account() -> Account | None:
    """Return the account that is signed in, or None; raise `NoDatabase` without one."""
    token = st.context.cookies.get(COOKIE)
    if not token:
        return None
    return retried(lambda: account_of(token))


def account_of(token: str) -> Account | None:
    """Return the account that is signed in by a token, and note now and then that it was seen."""
    with asking(process.engine()) as session:
        account = account_of_token(session, token=token)
    minutes = process.settings().accounts.seen_minutes
    if account is not None and _last_seen.is_due(token, minutes=minutes):
        with writing(process.engine()) as session:
            note_seen(session, token=token, minutes=minutes)
    return account


def own_token() -> str | None:
    """Return the token of the browser that asks."""
    return st.context.cookies.get(COOKIE)


def require_account() -> Account:
    """Return the account that is signed in; send everyone else to the sign-in page.

    Where the database does not answer, the page says so and ends there.
    """
    try:
        account = current_account()
    except NoDatabase:
        _say_trouble()
        st.stop()
    if account is None:
        leave("/login", next=urlsplit(st.context.url or "/").path or "/")
        raise AssertionError("unreachable: leave() ends the run")
    return account


@contextmanager
def trouble_told() -> Iterator[None]:
    """Say that the database did not answer, in plain words, where Streamlit would show an error."""
    try:
        yield
    except (SQLAlchemyError, NoDatabase):
        _say_trouble()


def _say_trouble() -> None:
    _log.exception("the database did not answer")
    st.warning(plain(words().say("server.trouble")))


def words() -> Words:
    """Return the words of the language that was chosen, or that the browser asks for."""
    chosen = st.context.cookies.get(LANGUAGE_COOKIE)
    return words_for(st.context.headers.get("Accept-Language"), chosen)


def sign_out() -> None:
    """Sign out by the form that the server answers; nothing that was typed stays in the browser."""
    account, said = require_account(), words()
    asked = {key: said.say(f"sign_out.{key}") for key in ("question", "leave", "stay")}
    asked["title"] = said.say("sign_out")
    leaving.sign_out("/logout", account_id=key_of(account), words=asked)
