"""What an account sees that has no business in the project of this server."""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from ui import process, session
from ui.languages import Words
from ui.plain_text import plain


def show() -> None:
    """Say who is signed in, that the project is not theirs, and whom to ask."""
    account, words = session.require_account(), session.words()
    st.title(words.say("no_business.title"))
    said = words.say("no_business.text", name=account.name, project=process.project().name)
    st.info(plain(said), icon=":material/lock:")


def page(words: Words) -> StreamlitPage:
    """Return the page as the navigation knows it."""
    return st.Page(show, title=words.say("no_business.title"), url_path="start", default=True)
