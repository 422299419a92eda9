"""What the buttons of the review page do: one decision each, stored once, told in one sentence."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from labeling.keys import key_of
from storage.engine import writing
from storage.errors import RankloopError
from storage.tables import Review
from ui import process, session

CHOSEN = "review_task"
_TOLD, _REFUSED = "review_told", "review_refused"


def act(
    deed: Callable[..., Review],
    told: str,
    seen: int,
    go_to: int | None,
    said: tuple[str, str] | None = None,
    **values: Any,
) -> None:
    """Do a deed of `labeling.adjudication` and go to task `go_to` (None: stay).

    `seen` is how many decisions the page showed: with it a double click has the first one's nonce.
    `said` is the deed's field for a text, and the key of the widget that it is typed into.
    """
    if said is not None:
        # Read now: what was typed just before the click is not in the button's arguments yet.
        values[said[0]] = st.session_state.get(said[1], "")
    account = session.require_account()
    about = "-".join(str(values[name]) for name in ("task_id", "judgment_id") if name in values)
    nonce = f"{deed.__name__}-{about}-{seen}-{key_of(account)}"
    try:
        with writing(process.engine()) as rows:
            deed(rows, by=account, nonce=nonce, **values)
    except RankloopError as error:
        st.session_state[_REFUSED] = str(error)
        return
    st.session_state[_TOLD] = told
    if go_to is not None:
        st.session_state[CHOSEN] = go_to


def choose(task_id: int) -> None:
    """Show another task of the queue."""
    st.session_state[CHOSEN] = task_id


def take_asked() -> None:
    """Show the task that the address asks for, once."""
    asked = st.query_params.pop("task", "")
    if asked.isascii() and asked.isdecimal():
        choose(int(asked))


def refuse(sentence: str) -> None:
    """Say why nothing was done."""
    st.session_state[_REFUSED] = sentence


def take_answers() -> tuple[str | None, str | None]:
    """Return what was done and what was refused since the page was last drawn."""
    return st.session_state.pop(_TOLD, None), st.session_state.pop(_REFUSED, None)


def keep_typed() -> None:
    """Keep what was typed and ranked for tasks that are not shown now."""
    for key in list(st.session_state):
        if str(key).startswith(("review-said-", "review-rank-")):
            st.session_state[key] = st.session_state[key]
