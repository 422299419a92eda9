"""The ranking page: one task at a time, submit and the next is there."""

import time

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError
from streamlit.navigation.page import StreamlitPage

from storage.errors import NotAllowed
from storage.tables import Account
from ui import process, session
from ui.components.ranking import Deed, ranking
from ui.database import NoDatabase, retried
from ui.languages import Words
from ui.languages.sentences import translated
from ui.plain_text import plain
from ui.ranking import correction, desk
from ui.ranking.sitting import Sitting
from ui.views import guidelines, waiting

KEY = "ranking"


@st.fragment
@session.trouble_told()
def show() -> None:
    """Show the annotator's task, or say why there is none."""
    kept, words = sitting(), session.words()
    try:
        _show(kept, words)
    except (SQLAlchemyError, NoDatabase):
        if not kept.stands(words):
            raise
        ranking(data=kept.as_data(words), key=KEY, act=_act)


def _show(kept: Sitting, words: Words) -> None:
    account = kept.take_account() or session.current_account() or session.require_account()
    if not kept.at_work and guidelines.ask_to_read(account, words):
        return
    try:
        found = _look(account)
    except NotAllowed as error:
        st.title(words.say("rank.title"))
        st.warning(plain(translated(str(error), words)))
        return
    if found.task is None:
        for told in filter(None, (kept.refusal, kept.feedback)):
            st.info(plain(translated(told["text"], words)))
        waiting.show(found, _look)
        return
    if found.judged_before:
        correction.draw(found, kept, words)
    elif found.qualifying:
        number, count = found.qualifying
        st.info(plain(words.say("qualification.task", number=number, count_of=count)))
    ranking(data=kept.as_data(words), key=KEY, act=_act)


def page(words: Words, *, first: bool) -> StreamlitPage:
    """Return the page as the navigation knows it; `first` where it is what one sees at first."""
    name = "start" if first else "rank"
    return st.Page(show, title=words.say("rank.title"), url_path=name, default=first)


def sitting() -> Sitting:
    """Return what this page remembers; a new one goes on with a correction left unfinished."""
    if "sitting" not in st.session_state:
        account = session.require_account()
        here = process.project_id()
        begun = retried(
            lambda: desk.correction_begun(process.engine(), project_id=here, account=account)
        )
        st.session_state["sitting"] = Sitting(correcting=begun)
    kept: Sitting = st.session_state["sitting"]
    return kept


def _look(account: Account | None = None) -> desk.Desk:
    account = account or session.require_account()
    midnight = desk.midnight_in(st.context.timezone)
    return sitting().look(account=account, midnight=midnight, words=session.words())


def _act(name: Deed) -> None:
    try:
        account = session.current_account()
    except NoDatabase:
        sitting().refuse(session.words().say("server.trouble"))
        return
    value = st.session_state[KEY].get(name)
    if account is not None and value is not None:
        sitting().account = account, time.monotonic()
        sitting().act(account=account, name=name, value=value, words=session.words())
