"""One person's data on the pages of accounts: download all that is kept, or erase who they are."""

from functools import partial
from io import BytesIO

import streamlit as st

from labeling.keys import key_of
from labeling.people.directory import AccountRow
from labeling.privacy.erasure import erase_person
from labeling.privacy.export import export_person
from labeling.privacy.out_of_reach import LOG_LEFT, out_of_reach
from storage.engine import empty_log, reading, writing
from storage.errors import BadInput
from storage.privacy_settings import ErasedJudgments
from storage.tables import Account
from ui import process, session
from ui.figures.figures_on_disk import forget_figures
from ui.people.said import acting, doing, say_what_came
from ui.plain_text import plain

_PLACE, _LEFT = "erasure", "privacy left"
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


def erase(one: AccountRow) -> None:
    """Draw what erases an account, after its name was typed once more."""
    words, settings = session.words(), process.settings().privacy
    with (
        st.popover(words.say("privacy.erase"), icon=":material/person_remove:", width="stretch"),
        # A form: what is typed is sent with the button, and the popover stays open meanwhile.
        st.form(f"erase {one.id}", border=False),
    ):
        st.text(words.say("privacy.erase_lead"))
        st.selectbox(
            words.say("privacy.judgments"), _KINDS, index=_KINDS.index(settings.judgments),
            format_func=lambda each: words.say(f"privacy.{each}"), key=f"erase kind {one.id}",
        )  # fmt: skip
        st.checkbox(
            words.say("privacy.texts"), value=settings.erase_texts, key=f"erase texts {one.id}"
        )
        st.text_input(words.say("privacy.type", name=plain(one.name)), key=f"erase name {one.id}")
        st.form_submit_button(
            words.say("privacy.erase_now"), type="primary", on_click=doing,
            args=(_PLACE, _erase, one.id),
        )  # fmt: skip


def tell() -> None:
    """Say once what came of the last erasure, and what it could not reach."""
    say_what_came(_PLACE)
    if left := st.session_state.pop(_LEFT, None):
        st.text(session.words().say("privacy.left"))
        st.text("\n".join(f"• {line}" for line in left))


def _erase(account_id: int) -> str:
    by, words, state = acting(), session.words(), st.session_state
    engine, home = process.engine(), process.settings().home
    with reading(engine) as rows:
        name = rows.get_one(Account, account_id).name
        if state[f"erase name {account_id}"].strip() != name:
            raise BadInput(words.say("privacy.mistyped", name=name))
        left = out_of_reach(rows, account_id=account_id, by=by, home=home)
    kind: ErasedJudgments = (
        "withdraw" if state[f"erase kind {account_id}"] == "withdraw" else "keep"
    )
    texts = bool(state[f"erase texts {account_id}"])
    with writing(engine) as rows:
        done = erase_person(rows, account_id=account_id, by=by, judgments=kind, texts=texts)
    if not empty_log(engine):
        left.append(LOG_LEFT)
    forget_figures(home)
    state[_LEFT] = left
    return words.say("privacy.erased", name=done.name, count=done.judgments)
