"""Leave the page for one outside Streamlit: to sign in, or to sign out by a real form."""

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent

_component = st.components.v2.component(
    "rankloop.leave",
    html='<form class="leave"></form>',
    css=(HERE / "leave.css").read_text(encoding="utf-8"),
    js=(HERE / "leave.js").read_text(encoding="utf-8"),
)


def leave(path: str, *, method: str = "get", **fields: str) -> None:
    """Send the browser to `path` of this server and end the script run."""
    _component(key=f"leave {path}", data={"path": path, "method": method, "fields": fields})
    st.stop()


def sign_out(path: str, *, account_id: int, words: Mapping[str, str]) -> None:
    """Send the sign-out form to `path`, with nothing left in the browser of what was typed.

    Where something is not saved yet, it is asked first; `words`: title, question, leave, stay.
    """
    data = {"path": path, "method": "post", "fields": {}, "owner": account_id, "words": dict(words)}
    _component(key=f"leave {path}", data=data)
    st.stop()
