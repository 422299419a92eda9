"""The guidelines page: annotators read them, leads write them."""

import streamlit as st
from sqlmodel import Session

from labeling.keys import key_of
from labeling.permissions import Action, allows
from labeling.quality_control.guidelines import (
    difference,
    guideline_versions,
    guidelines_in_force,
    guidelines_to_read,
    last_read,
    mark_read,
)
from storage.tables import Account, GuidelineVersion
from ui import guideline_editor, process, session
from ui.languages import Words
from ui.plain_text import plain, without_images


def show() -> None:
    """Show the guidelines in force, or the built-in ones; leads may change them."""
    account, words = session.require_account(), session.words()
    st.title(words.say("guidelines.title"))
    with process.reading() as database:
        own = guidelines_in_force(database, project_id=key_of(process.project()))
    if not allows(account, Action.CHANGE_LABELING, project_id=process.project_id()):
        _draw(own, words)
        return
    read, edit, versions, readers = st.tabs(["Read", "Edit", "Versions", "Who has read them"])
    with read:
        if own is None:
            st.caption("These are the built-in guidelines. Write the project's own under Edit.")
        _draw(own, words)
    with edit:
        guideline_editor.edit(account, own.text if own else words.say("guidelines.built_in"))
    with versions:
        guideline_editor.compare()
    with readers:
        guideline_editor.readers(own)


def ask_to_read(account: Account, words: Words) -> bool:
    """Draw guidelines that the account must read before its next task; False where there are none.

    While a task is lent to them, they may end it first.
    """
    here, me = process.project_id(), key_of(account)

    def state(rows: Session) -> tuple[GuidelineVersion | None, int | None, list[GuidelineVersion]]:
        unread = guidelines_to_read(rows, project_id=here, account_id=me)
        before = last_read(rows, project_id=here, account_id=me) if unread else None
        return unread, before, guideline_versions(rows, project_id=here) if before else []

    unread, before, earlier = process.look_up(state)
    if unread is None:
        return False
    st.title(words.say("guidelines.title"))
    st.info(words.say("guidelines.changed" if before else "guidelines.first"))
    _draw(unread, words)
    old = next((one.text for one in earlier if one.version == before), None)
    if old is not None:
        with st.expander(words.say("guidelines.what_changed")):
            st.code(difference(old, unread.text), language="diff", wrap_lines=True)
    st.button(
        words.say("guidelines.read"), type="primary", on_click=_read, args=(unread.version, me)
    )
    return True


def _read(version: int, account_id: int) -> None:
    with process.writing() as database:
        here = key_of(process.project())
        mark_read(database, project_id=here, account_id=account_id, version=version)


def _draw(own: GuidelineVersion | None, words: Words) -> None:
    if own is None:
        st.markdown(without_images(words.say("guidelines.built_in")))
        return
    date = f"{own.created_at:%Y-%m-%d}"
    said = words.say("guidelines.version", version=own.version, date=date)
    if own.note:
        said += " · " + words.say("guidelines.note", note=own.note)
    st.caption(plain(said))
    with st.container(width=760):
        st.markdown(without_images(own.text))
