"""A row of these pages: what it is, a line about it, and a button at its end."""

from collections.abc import Callable

import streamlit as st

from ui.people.said import doing
from ui.plain_text import plain


def row(
    name: str,
    note: str,
    *,
    beside: str = "",
    button: str = "",
    key: str = "",
    place: str = "",
    deed: Callable[..., str] | None = None,
    arguments: tuple[object, ...] = (),
) -> None:
    """Draw a row; all words are shown as text. With a `deed` there is a button that does it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        words = st.container(gap=None, width="stretch")
        words.markdown(f"**{plain(name)}**" + (f" · {plain(beside)}" if beside else ""))
        words.caption(plain(note))
        if deed is not None:
            st.button(button, key=key, on_click=doing, args=(place, deed, *arguments))
