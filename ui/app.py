"""The navigation, and nothing else."""

from pathlib import Path

import streamlit as st

from labeling.permissions import Action, allows
from ui import session
from ui.language_choice import language_pages
from ui.plain_text import plain
from ui.views import (
    export,
    guidelines,
    history,
    labeling_settings,
    own_prompts,
    qualification,
    quality,
    rank,
    review,
    rounds,
)

HERE = Path(__file__).parent

st.set_page_config(page_title="Rankloop", page_icon=str(HERE / "icon.svg"), layout="wide")
st.html(HERE / "app.css")
st.logo(str(HERE / "logo.svg"), size="large")

account = session.require_account()
words = session.words()
pages = [
    rank.page(words),
    st.Page(history.show, title=history.title(account, words), url_path="judgments"),
    st.Page(guidelines.show, title=words.say("guidelines.title"), url_path="guidelines"),
    st.Page(rounds.show, title="Rounds", url_path="rounds"),
]
if own_prompts.allowed(account):
    pages.insert(2, st.Page(own_prompts.show, title=words.say("write.title"), url_path="write"))
if allows(account, Action.REVIEW):
    pages.append(st.Page(review.show, title="Review", url_path="review"))
if allows(account, Action.SEE_QUALITY):
    pages.append(st.Page(quality.show, title="Quality", url_path="quality"))
if allows(account, Action.EXPORT):
    pages.append(st.Page(export.show, title="Export", url_path="export"))
known = qualification.page(account, words)
pages += [known] if known else []
if allows(account, Action.CHANGE_LABELING):
    pages.append(st.Page(labeling_settings.show, title="Settings", url_path="settings"))
own = [
    *language_pages(words),
    st.Page(session.sign_out, title=words.say("sign_out"), url_path="sign-out"),
]
st.navigation({"": pages, plain(account.name): own}, position="top").run()
