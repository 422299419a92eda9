"""The audit page: who did what, when and from where, for admins."""

import pandas
import streamlit as st

from labeling.audit.log import AuditChoice, AuditRow, audit_rows
from labeling.permissions import Action, require
from storage.tables import Account
from ui import process, session
from ui.audit_choice import BEFORE, choose, offer
from ui.plain_text import plain

PAGE_SIZE = 50


def show() -> None:
    """Show a page of the log, newest first, under its filters."""
    account, words = session.require_account(), session.words()
    require(account, Action.SEE_AUDIT, project_id=None)
    st.title(words.say("audit.title"))
    st.text(words.say("audit.lead"))
    choice = choose()
    found = _page(account, choice)
    if not found:
        st.info(plain(words.say("audit.none")))
        return
    table = pandas.DataFrame([_cells(row) for row in found[:PAGE_SIZE]])
    names = [words.say(f"audit.{name}") for name in ("at", "who", "did", "whom", "from", "told")]
    table.columns = pandas.Index(names)
    st.dataframe(table, hide_index=True, row_height=35, height=min(35 * len(table) + 38, 640))
    _turn(found)
    offer(account, choice)


def _page(account: Account, choice: AuditChoice) -> list[AuditRow]:
    before = st.session_state.setdefault(BEFORE, [])
    with process.reading() as rows:
        return audit_rows(
            rows, account=account, choice=choice, before=before[-1] if before else None,
            most=PAGE_SIZE + 1,
        )  # fmt: skip


def _cells(row: AuditRow) -> tuple[str, ...]:
    return (f"{row.at:%Y-%m-%d %H:%M:%S}", row.who, row.what, row.whom, row.address, row.told)


def _turn(found: list[AuditRow]) -> None:
    words, before = session.words(), st.session_state[BEFORE]
    with st.container(horizontal=True):
        if before:
            st.button(words.say("audit.newer"), on_click=before.pop)
        if len(found) > PAGE_SIZE:
            last = found[PAGE_SIZE - 1].id
            st.button(words.say("audit.older"), on_click=before.append, args=(last,))
