"""The pages that this account has, by the names in their addresses: links between pages."""

from collections.abc import Mapping

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from ui.plain_text import plain

_PAGES = "pages_of_account"


def remember(pages: Mapping[str, StreamlitPage]) -> None:
    """Keep the pages for links; the navigation does so in each run."""
    st.session_state[_PAGES] = dict(pages)


def page_named(name: str) -> StreamlitPage | None:
    """Return a page of the navigation, or None where this account has no such page."""
    pages: dict[str, StreamlitPage] = st.session_state.get(_PAGES, {})
    return pages.get(name)


def link(name: str, label: str, query: Mapping[str, str] | None = None) -> None:
    """Draw a link to a page; only its label where this account has no such page."""
    page = page_named(name)
    if page is None:
        st.text(label)
    else:
        st.page_link(
            page, label=plain(label), query_params=query, icon=":material/arrow_forward:",
            icon_position="right",
        )  # fmt: skip


def go(name: str, query: Mapping[str, str] | None = None) -> None:
    """Go to a page; stay where this account has no such page."""
    page = page_named(name)
    if page is not None:
        st.switch_page(page, query_params=query)
