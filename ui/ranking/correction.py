"""What stands above a judgment that is being corrected: that it is one, and the way out."""

import streamlit as st

from ui import process, session
from ui.languages import Words
from ui.plain_text import plain
from ui.ranking import deeds
from ui.ranking.desk import Desk
from ui.ranking.sitting import Sitting


def draw(found: Desk, sitting: Sitting, words: Words) -> None:
    """Say that an earlier judgment is corrected, what the lead wrote, and offer to leave it."""
    said = [words.say("correct.lead")]
    if found.comment:
        said.append(words.say("correct.comment", comment=found.comment))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info("\n\n".join(map(plain, said)))
        st.button(words.say("correct.leave"), on_click=_leave_as_it_was, args=(sitting,))


def _leave_as_it_was(sitting: Sitting) -> None:
    account = session.current_account()
    if account is not None and sitting.correcting is not None:
        deeds.leave_as_it_was(process.engine(), account=account, assignment_id=sitting.correcting)
    sitting.correct(None)
