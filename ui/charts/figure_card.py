"""A figure in a frame, with a line of words under it."""

from typing import Any

import streamlit as st

from ui.plain_text import plain


def figure_card(
    place: Any, label: str, value: object, note: str = "", share: float | None = None
) -> None:
    """Draw one figure in `place` (a column); cards of one row are equally high.

    `share` (0 … 1) draws the note over a bar that is filled so far.
    """
    with place.container(border=True, height="stretch"):
        st.metric(label, value)  # type: ignore[arg-type]
        if share is not None:
            st.progress(min(1.0, max(0.0, share)), text=plain(note))
        elif note:
            st.caption(plain(note))
