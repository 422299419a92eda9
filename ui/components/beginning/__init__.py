"""The beginning component: where another subject is on the page, it is read from its beginning.

It shows nothing. Streamlit leaves a page scrolled to where the one before was left.
"""

from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent


def begins_here(subject: int) -> None:
    """Mark where a subject begins; one that is new on an open page is scrolled to, if above it."""
    # By its key the page's style leaves no gap for it.
    _component(key="beginning", data={"subject": subject})


_component = st.components.v2.component(
    "rankloop.beginning",
    html="<div></div>",
    js=(HERE / "beginning.js").read_text(encoding="utf-8"),
)
