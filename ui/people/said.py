"""What came of a deed on these pages, said once at the place where it was done."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from labeling.people.sign_ins import ENDED
from storage.errors import NotAllowed, RankloopError
from storage.tables import Account
from ui import session
from ui.languages.sentences import translated
from ui.plain_text import plain

_SAID = "said at "


def say_what_came(place: str) -> None:
    """Say what came of the last deed of a place."""
    if said := st.session_state.pop(_SAID + place, None):
        well, words = said
        (st.success if well else st.error)(plain(words))


def acting() -> Account:
    """Return who acts, asked anew: a page that is still open may be of somebody who is out now.

    Raises `NotAllowed`.
    """
    account = session.current_account()
    if account is None:
        raise NotAllowed(ENDED)
    return account


def doing(place: str, deed: Callable[..., str], *arguments: Any) -> None:
    """Do something and keep what to say of it: the words that it returns, or why it was refused."""
    try:
        st.session_state[_SAID + place] = (True, deed(*arguments))
    except RankloopError as error:
        st.session_state[_SAID + place] = (False, translated(str(error), session.words()))
