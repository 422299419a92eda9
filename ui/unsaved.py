"""What leads typed and chose and did not save yet: kept while other pages are shown, and longer.

A field whose key is made by `key_for` is kept for the session here, and by the component in the
browser, which brings it back after a reload or a restart of the server. It is forgotten once saved.
"""

from typing import Any
from uuid import uuid4

import streamlit as st

from storage.errors import RankloopError
from ui.components.ranking import parse
from ui.components.unsaved import PREFIX, BroughtEvent, keeper

# Of the session and not of the widgets: Streamlit forgets a widget's value when it is not drawn.
_KEPT, _FORGOTTEN, _SAVED, _SESSION, _BROUGHT = (
    "kept unsaved", "forgotten unsaved", "saved unsaved", "session of unsaved", "brought unsaved",
)  # fmt: skip
_COMPONENT = "keeper"


def key_for(*parts: str | int) -> str:
    """Return the key of a field that is kept; `parts` name what it is about (a-z, 0-9 and -)."""
    return PREFIX + "-".join(map(str, parts))


def keep(*, account_id: int, project_id: int) -> None:
    """Keep what all fields hold by now; call it in each run, before a page is drawn."""
    here = _note()
    kept = _kept()
    numbers = {key: value for key, value in (kept | here).items() if not isinstance(value, str)}
    data = {
        "owner": f"{account_id}:{project_id}",
        "session": st.session_state.setdefault(_SESSION, uuid4().hex),
        "brought": st.session_state.get(_BROUGHT, False),
        "chosen": numbers,
        "typed": {key: value for key, value in kept.items() if isinstance(value, str)},
        "forgotten": st.session_state.get(_FORGOTTEN, []),
    }
    keeper(data=data, key=_COMPONENT, act=_take)


def field(key: str, default: str | None = None, *, among: range | None = None) -> dict[str, Any]:
    """Return the arguments of a kept field's widget, which is filled where it was not on the page.

    `among` are the values that a number may have. What is on the page is left alone: its newest
    letters may still be on their way.
    """
    if key not in st.session_state:
        found = _kept().get(key)
        fits = isinstance(found, str) if among is None else found in among
        if fits or default is not None:
            st.session_state[key] = found if fits else default
    # Noted at once: where a click on a link follows, the page is not drawn again before it is left.
    return {"key": key, "on_change": _note}


def held(key: str) -> Any:
    """Return what a field holds, or held when it was last on a page; None where it never was."""
    return st.session_state.get(key, _kept().get(key))


def forget(*keys: str) -> None:
    """Empty fields whose values are saved now; only a callback can, before they are drawn."""
    forgotten: list[tuple[int, str]] = st.session_state.setdefault(_FORGOTTEN, [])
    for key in keys:
        st.session_state.setdefault(_SAVED, {})[key] = held(key)
        _kept().pop(key, None)
        if key in st.session_state:
            st.session_state[key] = "" if isinstance(st.session_state[key], str) else None
        # Only the last of a field counts, and the list stays as short as the fields are few.
        number = max((number for number, _ in forgotten), default=0) + 1
        forgotten[:] = [one for one in forgotten if one[1] != key] + [(number, key)]


def _note() -> dict[str, Any]:
    """Keep what the fields hold that are on the page, and return it."""
    here = {
        str(key): st.session_state[key] for key in st.session_state if str(key).startswith(PREFIX)
    }
    both = (_kept() | here).items()
    st.session_state[_KEPT] = {key: value for key, value in both if value not in ("", None)}
    return here


def _kept() -> dict[str, Any]:
    found: dict[str, Any] = st.session_state.setdefault(_KEPT, {})
    return found


def _take() -> None:
    if _COMPONENT not in st.session_state:
        return  # meant for a session before this one: the component brings it again
    value = st.session_state[_COMPONENT].get("brought")
    if value is None:
        return
    st.session_state[_BROUGHT] = True
    try:
        brought = dict(parse(BroughtEvent, value).kept)
    except RankloopError:
        return  # not what the component sends
    # Sent before the browser heard that it is saved: it would come back as not saved.
    for key in brought.keys() & st.session_state.get(_SAVED, {}):
        if st.session_state[_SAVED][key] == brought[key]:
            del brought[key]
    _kept().update(brought)
    for key in brought:
        # Drawn already, before it came: filled anew.
        st.session_state.pop(key, None)
