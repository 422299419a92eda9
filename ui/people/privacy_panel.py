"""One person's data on the pages of accounts: download all that is kept, or erase who they are."""

from functools import partial
from io import BytesIO

import streamlit as st

from labeling.keys import key_of
from labeling.people.directory import AccountRow
from labeling.privacy.erasure import erase_person
from labeling.privacy.export import export_person
from labeling.privacy.out_of_reach import out_of_reach
from storage.engine import reading, writing
from storage.errors import BadInput
from storage.privacy_settings import ErasedJudgments
from storage.tables import Account
from ui import process, session
from ui.people.said import acting, doing
from ui.plain_text import plain

_LEFT = "privacy left"
_KINDS: tuple[ErasedJudgments, ...] = ("keep", "withdraw")


def download(account_id: int, by: Account) -> None:
    """Draw the button that downloads what is kept of an account."""
    words = session.words()
    own = account_id == by.id
    st.download_button(
        words.say("privacy.download_own" if own else "privacy.download"),
        data=partial(_zip, account_id, key_of(by)),
        file_name=f"account-{account_id}.zip",
        mime="application/zip",
        on_click="ignore",
        icon=":material/download:",
        width="stretch",
        key=f"privacy download {account_id}",
    )


def _zip(account_id: int, by_id: int) -> bytes:
    engine, file = process.engine(), BytesIO()
    with reading(engine) as rows:
        by = rows.get_one(Account, by_id)
    export_person(engine, account_id=account_id, by=by, out=file)
    return file.getvalue()


def erase(one: AccountRow, place: str) -> None:
    """Draw what erases an account, after its name was typed once more."""
    words, settings = session.words(), process.settings().privacy
    with st.popover(words.say("privacy.erase"), icon=":material/person_remove:", width="stretch"):
        st.text(words.say("privacy.erase_lead"))
        kind = st.selectbox(
            words.say("privacy.judgments"), _KINDS, index=_KINDS.index(settings.judgments),
            format_func=lambda each: words.say(f"privacy.{each}"), key=f"erase kind {one.id}",
        )  # fmt: skip
        texts = st.checkbox(
            words.say("privacy.texts"), value=settings.erase_texts, key=f"erase texts {one.id}"
        )
        typed = f"erase name {one.id}"
        st.text_input(words.say("privacy.type", name=plain(one.name)), key=typed)
        st.button(
            words.say("privacy.erase_now"), type="primary", key=f"erase now {one.id}",
            on_click=doing, args=(place, _erase, one.id, typed, kind, texts),
        )  # fmt: skip


def tell_left() -> None:
    """Say what the last erasure could not reach, once."""
    if left := st.session_state.pop(_LEFT, None):
        st.text(session.words().say("privacy.left"))
        st.text("\n".join(f"• {line}" for line in left))


def _erase(account_id: int, typed: str, kind: ErasedJudgments, texts: bool) -> str:
    by, words = acting(), session.words()
    engine, home = process.engine(), process.settings().home
    with reading(engine) as rows:
        name = rows.get_one(Account, account_id).name
        if st.session_state.get(typed, "").strip() != name:
            raise BadInput(words.say("privacy.mistyped", name=name))
        left = out_of_reach(rows, account_id=account_id, by=by, home=home)
    with writing(engine) as rows:
        done = erase_person(rows, account_id=account_id, by=by, judgments=kind, texts=texts)
    st.session_state[_LEFT] = left
    return words.say("privacy.erased", name=done.name, count=done.judgments)
