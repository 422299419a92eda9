"""The settings page of leads: every setting of labeling, a section at a time."""

import re
from typing import Any

import streamlit as st

from labeling.judging.criteria import READY_SETS
from labeling.keys import key_of
from labeling.labeling_settings import LabelingSettings, change_labeling, labeling_settings
from labeling.permissions import Action, require
from storage.errors import RankloopError
from storage.tables import Account, Project
from ui import process, session
from ui.plain_text import plain
from ui.setting_widgets import widget
from ui.setting_words import SECTIONS, words_of

CHOSEN_SET = "settings_ready_set"
#: a setting as refusals name it: its section, its field, and which of its values (from 0)
_NAMED = re.compile(r"labeling\.(\w+)\.(\w+)(?:\.(\d+))?")


def show() -> None:
    """Show the sections, and save what is changed in one of them."""
    account = session.require_account()
    require(account, Action.CHANGE_LABELING, project_id=process.project_id())
    st.title("Settings")
    st.text("How labeling works in this project. What you save holds from the next task on.")
    current = labeling_settings(process.project())
    for section in LabelingSettings.model_fields:
        title, about = SECTIONS.get(section, (section, ""))
        with st.expander(title, expanded=section == "page"):
            st.caption(about)
            if section == "page":
                _ready_sets(account)
            _section(account, section, getattr(current, section))


def changes(current: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return those of the given values that differ from a section's own."""
    own = current.model_dump(mode="json")
    return {field: value for field, value in given.items() if value != own[field]}


def _section(account: Account, section: str, current: Any) -> None:
    # A new serial draws the widgets anew, with the values that are in force now.
    serial = st.session_state.get(f"settings_serial_{section}", 0)
    with st.form(f"settings_{section}", border=False):
        given = {
            field: widget(
                info,
                getattr(current, field),
                words_of(section, field),
                key=f"settings{serial}.{section}.{field}",
            )
            for field, info in type(current).model_fields.items()
        }
        if st.form_submit_button("Save", type="primary"):
            _save(account, section, changes(current, given))


def _ready_sets(account: Account) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Ready set of criteria", list(READY_SETS), key=CHOSEN_SET, width=280)
        if st.button("Use it", help="It takes the place of the criteria below."):
            chosen = READY_SETS[st.session_state[CHOSEN_SET]]
            criteria = [each.model_dump() for each in chosen]
            _save(account, "page", {"criteria": criteria})


def _save(account: Account, section: str, changed: dict[str, Any]) -> None:
    if not changed:
        st.info("Nothing is changed here.")
        return
    try:
        with process.writing() as database:
            here = key_of(process.project())
            # Two leads who save at once take their turns: the settings are one value.
            locked = {"key_share": True}  # those who judge meanwhile need not wait
            project = database.get_one(Project, here, with_for_update=locked)
            change_labeling(database, project=project, by=account, section=section, values=changed)
    except RankloopError as error:
        st.error(plain(_labelled(str(error))))
        return
    serial = f"settings_serial_{section}"
    st.session_state[serial] = st.session_state.get(serial, 0) + 1
    st.toast("Saved.")
    st.rerun()


def _labelled(sentence: str) -> str:
    """Return a refusal under the label that the setting it names has on the page."""
    named = _NAMED.search(sentence)
    if named is None:
        return sentence
    section, field, place = named.groups()
    which = "" if place is None else f", number {int(place) + 1}"
    return f"{words_of(section, field).label}{which}: {sentence}"
