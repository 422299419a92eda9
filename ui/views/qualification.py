"""Known answers: an annotator's own standing in the qualification, and everything for leads."""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, allows
from labeling.quality_control.qualification import NotQualified, Standing, share_of, standing
from storage.tables import Account
from ui import process, session
from ui.languages import Words
from ui.plain_text import plain
from ui.quality import known_answer_tables


def page(account: Account, words: Words) -> StreamlitPage | None:
    """Return the page as the navigation knows it; None for an annotator without a qualification."""
    if allows(account, Action.CHANGE_LABELING, project_id=process.project_id()):
        return st.Page(show, title="Known answers", url_path="known-answers")
    if _own(account).tasks == 0:
        return None
    return st.Page(show, title=words.say("qualification.title"), url_path="qualification")


def show() -> None:
    """Show leads the tasks and everybody's standing, an annotator their own standing."""
    account, words = session.require_account(), session.words()
    if allows(account, Action.CHANGE_LABELING, project_id=process.project_id()):
        st.title("Known answers")
        tasks, people = st.tabs(["Tasks", "Annotators"])
        with tasks:
            known_answer_tables.tasks(account)
        with people:
            known_answer_tables.people(account)
        return
    st.title(words.say("qualification.title"))
    _show_own(_own(account), words)


def say_failed(error: NotQualified, words: Words) -> None:
    """Tell somebody who has no attempt left what they can do."""
    st.title(words.say("qualification.title"))
    share = f"{error.share:.0%}"
    st.info(plain(words.say("qualification.failed", share=share, mark=_mark())))
    st.text(words.say("qualification.ask"))


def _own(account: Account) -> Standing:
    here, me = process.project_id(), key_of(account)
    return process.look_up(lambda rows: standing(rows, project_id=here, account_id=me))


def _show_own(own: Standing, words: Words) -> None:
    attempt = own.attempt
    if attempt is not None and attempt.passed:
        key = "qualification.passed" if attempt.task_ids else "qualification.waved"
        st.success(plain(words.say(key)))
        return
    st.text(words.say("qualification.lead", count=own.tasks, mark=_mark()))
    st.text(words.say("qualification.aside"))
    if attempt is not None and attempt.passed is False:
        share = f"{share_of(attempt):.0%}"
        st.info(plain(words.say("qualification.failed", share=share, mark=_mark())))
        left = labeling_settings(process.project()).qualification.attempts - attempt.attempt
        st.text(words.say("qualification.again" if left > 0 else "qualification.ask"))
        return
    said = words.say("qualification.progress", done=own.done, tasks=own.tasks)
    st.progress(own.done / max(1, own.tasks), text=plain(said))


def _mark() -> str:
    return f"{labeling_settings(process.project()).qualification.pass_mark:.0%}"
