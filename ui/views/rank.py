"""The ranking page: one task at a time, submit and the next is there."""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from ui import deeds, desk, process, session
from ui.components.ranking import Deed, ranking
from ui.languages import Words
from ui.plain_text import plain
from ui.sitting import Sitting
from ui.views import waiting

KEY = "ranking"


@st.fragment
def show() -> None:
    """Show the annotator's task, or say why there is none."""
    words = session.words()
    found = _look()
    if found.task is None:
        waiting.show(found, _look)
        return
    if found.judged_before:
        _say_that_it_corrects(found, words)
    ranking(data=sitting().as_data(words), key=KEY, act=_act)


def page(words: Words) -> StreamlitPage:
    """Return the page as the navigation knows it."""
    return st.Page(show, title=words.say("rank.title"), url_path="rank", default=True)


def sitting() -> Sitting:
    """Return what this page remembers; a new one goes on with a correction left unfinished."""
    if "sitting" not in st.session_state:
        account = session.require_account()
        begun = desk.correction_begun(process.engine(), project=process.project(), account=account)
        st.session_state["sitting"] = Sitting(correcting=begun)
    kept: Sitting = st.session_state["sitting"]
    return kept


def _look() -> desk.Desk:
    account = session.require_account()
    midnight = desk.midnight_in(st.context.timezone)
    return sitting().look(account=account, midnight=midnight, words=session.words())


def _say_that_it_corrects(found: desk.Desk, words: Words) -> None:
    said = [words.say("correct.lead")]
    if found.comment:
        said.append(words.say("correct.comment", comment=found.comment))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(plain("\n".join(said)))
        st.button(words.say("correct.leave"), on_click=_leave_as_it_was)


def _leave_as_it_was() -> None:
    kept, account = sitting(), session.require_account()
    if kept.correcting is not None:
        deeds.leave_as_it_was(process.engine(), account=account, assignment_id=kept.correcting)
    kept.correct(None)


def _act(name: Deed) -> None:
    account = session.current_account()
    value = st.session_state[KEY].get(name)
    if account is not None and value is not None:
        sitting().act(account=account, name=name, value=value, words=session.words())
