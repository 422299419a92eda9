"""My judgments: what one has judged, newest first, as it was shown, and open to correction."""

import streamlit as st

from labeling.judging.history import (
    OwnJudgment,
    count_returned,
    own_judgments,
    returned_judgments,
)
from labeling.keys import key_of
from storage.tables import Account
from ui import judgment_cards, page_links, process, session
from ui.languages import Words

PAGE_SIZE = 10


def title(account: Account, words: Words) -> str:
    """Return the page's name in the navigation, with how many judgments were sent back."""
    here, me = process.project_id(), key_of(account)
    returned = process.look_up(lambda rows: count_returned(rows, project_id=here, annotator_id=me))
    return f"{words.say('history.title')} ({returned})" if returned else words.say("history.title")


def show() -> None:
    """Show what was sent back first, then a page of the annotator's own judgments."""
    account, words = session.require_account(), session.words()
    st.title(words.say("history.title"))
    here, me = key_of(process.project()), key_of(account)
    before = st.session_state.get("history_before")
    with process.reading() as rows:
        returned = returned_judgments(rows, project_id=here, annotator_id=me)
        found = own_judgments(
            rows, project_id=here, annotator_id=me, before=before, count=PAGE_SIZE + 1
        )
    if not found and before is None:
        st.info(words.say("history.none"))
        page_links.link("rank", words.say("rank.title"))
    if returned and before is None:
        st.subheader(words.say("history.returned"))
        judgment_cards.draw(returned, account, words)
        st.subheader(words.say("history.all"))
    above = {each.judgment_id for each in returned} if before is None else set()
    rest = [each for each in found[:PAGE_SIZE] if each.judgment_id not in above]
    judgment_cards.draw(rest, account, words)
    _pages(found, before, words)


def _pages(found: list[OwnJudgment], before: int | None, words: Words) -> None:
    with st.container(horizontal=True):
        if before is not None:
            st.button(words.say("history.newest"), on_click=_go_to, args=(None,))
        if len(found) > PAGE_SIZE:
            oldest = found[PAGE_SIZE - 1].judgment_id
            st.button(words.say("history.older"), on_click=_go_to, args=(oldest,))


def _go_to(before: int | None) -> None:
    st.session_state["history_before"] = before
