"""The ranking page: one task at a time, submit and the next is there."""

from typing import Any
from uuid import uuid4

import streamlit as st

from labeling.labeling_settings import labeling_settings
from storage.errors import RankloopError
from ui import desk, process, session
from ui.components.ranking import Deed, SkipEvent, SubmitEvent, UndoEvent, parse, ranking
from ui.languages import words_for
from ui.views import waiting

KEY = "ranking"


@st.fragment
def show() -> None:
    """Show the annotator's task, or say why there is none."""
    found = _look()
    if found.task is None:
        waiting.show(found, _look)
        return
    serial = st.session_state.get("reopened_serial") or str(found.task.assignment_id)
    data = found.as_data(serial=serial, refusal=st.session_state.get("refusal"))
    ranking(data=data | _around(), key=KEY, act=_act)


def _around() -> dict[str, Any]:
    words = words_for(st.context.headers.get("Accept-Language"), None)
    page = labeling_settings(process.project()).page
    return {
        "page": page.model_dump(mode="json"),
        "layout": page.layout,
        "words": words.texts,
        "language": words.language,
        "direction": words.direction,
    }


def _look() -> desk.Desk:
    return desk.look(
        process.engine(),
        project=process.project(),
        account=session.require_account(),
        minutes=process.settings().assignment_minutes,
        midnight=desk.midnight_in(st.context.timezone),
        reopened=st.session_state.get("reopened"),
    )


def _act(name: Deed) -> None:
    """Do what the component says was done; a refusal is shown and changes nothing."""
    account = session.current_account()
    value = st.session_state[KEY].get(name)
    if account is None or value is None or name not in ("submit", "skip", "undo"):
        return
    try:
        said = act(account, name, value)
    except RankloopError as error:
        said = str(error)
    st.session_state["refusal"] = {"id": uuid4().hex, "text": said} if said else None


def act(account: desk.Account, name: Deed, value: object) -> str:
    """Carry out one event of the component; return what to tell the annotator, if anything."""
    engine = process.engine()
    if name == "undo":
        event = parse(UndoEvent, value)
        task = desk.reopen(engine, account=account, project=process.project())
        st.session_state.update(reopened=task, reopened_serial=f"again-{event.at}")
        return ""
    said = ""
    if name == "submit":
        result = desk.submit(engine, account=account, event=parse(SubmitEvent, value))
        said = "" if result.stored else result.message
    else:
        desk.skip(engine, account=account, event=parse(SkipEvent, value))
    st.session_state.update(reopened=None, reopened_serial=None)
    return said
