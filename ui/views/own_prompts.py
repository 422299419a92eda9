"""Write a prompt: where a lead allows it, annotators ask the model what they would like to ask."""

from uuid import uuid4

import streamlit as st

from labeling.judging.own_prompts import add_own_prompt
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, allows
from storage.errors import RankloopError
from storage.tables import Account
from ui import process, session
from ui.components.ranking import parse
from ui.components.writing import WriteEvent, writing_form
from ui.languages.sentences import translated
from ui.plain_text import plain

KEY = "writing"


def allowed(account: Account) -> bool:
    """Say whether the page is there for the account."""
    return (
        allows(account, Action.JUDGE, project_id=process.project_id())
        and labeling_settings(process.project()).page.own_prompts
    )


def show() -> None:
    """Show the two fields, and what became of what was sent."""
    account, words = session.require_account(), session.words()
    st.title(words.say("write.title"))
    st.text(words.say("write.lead"))
    if said := st.session_state.get("written"):
        st.success(plain(said))
    texts = {key: text for key, text in words.texts.items() if key.startswith("write.")}
    data = {
        "owner": account.id,
        "words": texts,
        "done": st.session_state.get("write_done", ""),
        "refusal": st.session_state.get("write_refusal"),
    }
    writing_form(data=data, key=KEY, act=_act)


def _act() -> None:
    account, value = session.current_account(), st.session_state[KEY].get("write")
    if account is None or value is None:
        return
    st.session_state["written"] = ""
    try:
        event = parse(WriteEvent, value)
        done = _store(account, event)
    except RankloopError as error:
        said = translated(str(error), session.words())
        st.session_state["write_refusal"] = {"id": uuid4().hex, "text": said}
        return
    key = "write.stored" if done else "write.known"
    st.session_state.update(write_done=event.nonce, written=session.words().say(key))


def _store(account: Account, event: WriteEvent) -> bool:
    with process.writing() as rows:
        return add_own_prompt(
            rows,
            project=process.project(),
            account=account,
            text=event.prompt,
            answer=event.answer,
            nonce=event.nonce,
            heldout_share=process.settings().heldout_share,
        ).new
