"""What leads have on the guidelines page: an editor with preview, the versions, the readers."""

import streamlit as st

from labeling.keys import key_of
from labeling.quality_control.guidelines import (
    difference,
    guideline_readers,
    guideline_versions,
    publish_guidelines,
)
from storage.errors import RankloopError
from storage.tables import Account, GuidelineVersion, Project
from ui import process, unsaved
from ui.plain_text import plain, without_images

_TEXT, _NOTE = unsaved.key_for("guidelines"), unsaved.key_for("guidelines", "note")
_START, _REFUSED, _DONE = "guidelines start", "guidelines refused", "guidelines published"


def edit(account: Account, start: str) -> None:
    """Draw the editor, begun with the text in force, and its preview; publish on demand."""
    _follow(start)
    left, right = st.columns(2, gap="large")
    with left:
        text: str = st.text_area(
            "Text in Markdown",
            height=420,
            help="Headings, lists, bold, links and tables; images and HTML are left out.",
            **unsaved.field(_TEXT, start),
        )
        st.text_input(
            "What is new, for annotators",
            max_chars=500,
            placeholder="Optional, one sentence",
            **unsaved.field(_NOTE),
        )
        with st.container(horizontal=True):
            # Never greyed out: whoever clicks it right after typing would have to click twice.
            st.button("Publish", type="primary", on_click=_publish, args=(account, start))
            if text != start:
                st.button("Discard my changes", on_click=_discard, args=(start,))
        if refused := st.session_state.pop(_REFUSED, None):
            st.error(plain(refused))
        st.caption(
            "Annotators are asked to read a new version before their next task. What you type is "
            "kept in this browser until you publish or discard it, or sign out."
        )
    if st.session_state.pop(_DONE, False):
        st.toast("Published. Annotators will be asked to read it.")
    with right:
        st.caption("Preview")
        with st.container(border=True, height=530):
            st.markdown(without_images(text))


def _follow(start: str) -> None:
    """Show an editor in which nothing was changed the text that is in force by now."""
    before = st.session_state.get(_START)
    if before not in (None, start) and unsaved.held(_TEXT) == before:
        st.session_state[_TEXT] = start
    st.session_state[_START] = start


def compare() -> None:
    """Draw the versions there are, and what changed between two of them."""
    with process.reading() as database:
        found = guideline_versions(database, project_id=key_of(process.project()))
    if not found:
        st.info("Nothing is published yet; the text that comes with Rankloop is shown.")
        return
    rows = [
        {"Version": one.version, "Published": one.created_at, "What is new": one.note}
        for one in found
    ]
    published = st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")
    st.dataframe(rows, hide_index=True, column_config={"Published": published})
    if len(found) < 2:
        return
    texts = {one.version: one.text for one in found}
    older, newer = st.columns(2)
    numbers = list(texts)
    old = older.selectbox("From version", numbers, index=1)
    new = newer.selectbox("to version", numbers, index=0)
    changed = difference(texts[old], texts[new])
    if changed:
        st.code(changed, language="diff", wrap_lines=True)
    else:
        st.info("The two are the same.")


def readers(own: GuidelineVersion | None) -> None:
    """Draw who has read which version."""
    with process.reading() as database:
        found = guideline_readers(database, project_id=key_of(process.project()))
    newest = own.version if own else 0
    if own is None:
        st.info("Nothing is published yet, so nobody is asked to read it.")
        return
    up_to_date = sum(one.version == newest for one in found)
    st.text(f"{up_to_date} of {len(found)} have read version {newest}.")
    rows = [
        {
            "Name": one.name,
            "Has read": f"version {one.version}" if one.version else "none",
            "On": one.read_at,
        }
        for one in sorted(found, key=lambda one: one.version or 0)
    ]
    on = st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")
    st.dataframe(rows, hide_index=True, column_config={"On": on})


def _publish(account: Account, start: str) -> None:
    # Read now: what was typed just before the click is not in the button's arguments yet.
    text, note = st.session_state[_TEXT], st.session_state[_NOTE]
    if text.strip() == start.strip():
        st.session_state[_REFUSED] = "This is the text in force; change it, then publish it."
        return
    try:
        with process.writing() as database:
            project = database.get_one(Project, key_of(process.project()))
            publish_guidelines(database, project=project, by=account, text=text, note=note)
    except RankloopError as error:
        st.session_state[_REFUSED] = str(error)
        return
    _discard(text.strip())
    st.session_state[_DONE] = True


def _discard(start: str) -> None:
    unsaved.forget(_TEXT, _NOTE)
    st.session_state[_TEXT] = start
