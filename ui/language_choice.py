"""The languages in the account's menu: choosing one keeps it in a cookie of this browser."""

from collections.abc import Callable

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from ui.components.leave import leave
from ui.languages import Words, languages


def language_pages(words: Words) -> list[StreamlitPage]:
    """Return a menu entry for each other language, under the name that it gives itself."""
    return [
        st.Page(_choose(code), title=name, url_path=f"language-{code}")
        for code, name in languages().items()
        if code != words.language
    ]


def _choose(code: str) -> Callable[[], None]:
    def choose() -> None:
        # The sign-in page keeps the language and leads those who are signed in on at once.
        leave("/login", language=code, next="/")

    return choose
