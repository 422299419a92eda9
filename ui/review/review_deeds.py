"""What the buttons of the review page do: one decision each, stored once, told in one sentence."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from labeling.keys import key_of
from storage.errors import RankloopError
from storage.tables import Review
from ui import process, session, unsaved
from ui.plain_text import plain

CHOSEN = "review_task"
_TOLD, _REFUSED = "review_told", "review_refused"
# Where a refusal is shown: at the buttons of the task, or of one judgment.
TASK = "task"


def act(
    deed: Callable[..., Review],
    told: str,
    seen: int,
    go_to: int | None,
    said: tuple[str, str] | None = None,
    settled: Sequence[str] = (),
    **values: Any,
) -> None:
    """Do a deed of `labeling.adjudication` and go to task `go_to` (None: stay).

    `seen` is how many decisions the page showed: with it a double click has the first one's nonce.
    `said` is the deed's field for a text, and the key of the widget that it is typed into: what it
    holds is stored with the deed, and forgotten. So is what the fields `settled` hold.
    """
    if said is not None:
        # Read now: what was typed just before the click is not in the button's arguments yet.
        values[said[0]] = st.session_state.get(said[1], "")
    account = session.require_account()
    about = "-".join(str(values[name]) for name in ("task_id", "judgment_id") if name in values)
    nonce = f"{deed.__name__}-{about}-{seen}-{key_of(account)}"
    try:
        with process.writing() as rows:
            deed(rows, by=account, nonce=nonce, **values)
    except RankloopError as error:
        refuse(str(error), at=place_of(values.get("judgment_id")))
        return
    unsaved.forget(*settled, *([said[1]] if said else []))
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


def place_of(judgment_id: int | None) -> str:
    """Return the place of a judgment's buttons, or (None) of the task's."""
    return TASK if judgment_id is None else f"judgment {judgment_id}"


def refuse(sentence: str, *, at: str = TASK) -> None:
    """Say, beside the buttons `at` which it was asked for, why nothing was done."""
    st.session_state[_REFUSED] = at, sentence


def draw_refusal(at: str) -> None:
    """Draw what was refused at these buttons since the page was last drawn."""
    # Always there: a place that comes and goes would have the browser build all below it anew,
    # and a click on it just then would be lost.
    place = st.empty()
    if st.session_state.get(_REFUSED, ("", ""))[0] == at:
        place.warning(plain(st.session_state.pop(_REFUSED)[1]))


def take_told() -> str | None:
    """Return what was done since the page was last drawn."""
    told: str | None = st.session_state.pop(_TOLD, None)
    return told


def take_refusal() -> str | None:
    """Return what was refused at buttons that are not on the page any more."""
    refused: tuple[str, str] = st.session_state.pop(_REFUSED, ("", ""))
    return refused[1] or None
