"""The withdrawals page: take judgments out with a reason, and put them back."""

from datetime import datetime

import streamlit as st

from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.withdrawals.withdrawing import WithdrawalRow, revert, withdrawals
from storage.errors import RankloopError
from storage.tables import Project
from ui import process, session, unsaved, withdrawal_form
from ui.plain_text import plain


def show() -> None:
    """Show the form, and what is or was withdrawn."""
    account, project = session.require_account(), process.project()
    require(account, Action.WITHDRAW, project_id=process.project_id())
    st.title("Withdrawals")
    st.text("Take judgments out of figures, snapshots and exports. Nothing is deleted.")
    withdrawal_form.show(account, project)
    with process.reading() as rows:
        found = withdrawals(rows, project_id=key_of(project), account=account)
    st.subheader("Withdrawn")
    if refused := st.session_state.pop("revert refused", None):
        st.error(plain(refused))
    if not found:
        st.info("Nothing is withdrawn.")
    for one in found:
        _row(project, one)


def _row(project: Project, one: WithdrawalRow) -> None:
    words, deed = st.columns([5, 1])
    words.text(f"{one.id}. {one.what}: {one.reason} ({one.by}, {_day(one.at)})")
    if one.reverted_at is not None:
        words.caption(
            plain(f"Reverted by {one.reverted_by}, {_day(one.reverted_at)}: {one.reverted_reason}")
        )
        return
    with deed.popover("Revert"):
        key = unsaved.key_for("revert", one.id)
        st.text_input("Reason", **unsaved.field(key))
        st.button(
            "Put it back", key=f"revert {one.id} now", on_click=_revert, args=(project, one.id)
        )


def _revert(project: Project, number: int) -> None:
    account = session.require_account()
    key = unsaved.key_for("revert", number)
    reason = st.session_state[key]
    try:
        with process.writing() as rows:
            revert(rows, project=project, by=account, withdrawal_id=number, reason=reason)
    except RankloopError as error:
        st.session_state["revert refused"] = str(error)
        return
    unsaved.forget(key)


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
