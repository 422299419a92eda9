"""Choose what to withdraw, see what it touches, and only then withdraw it."""

from datetime import UTC, datetime

import streamlit as st

from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.withdrawals.scope import Choices, Scope, choices
from labeling.withdrawals.traces import Touched, touched
from labeling.withdrawals.withdrawing import withdraw
from storage.errors import RankloopError
from storage.tables import Account, Project
from ui import process, session, unsaved
from ui.plain_text import plain
from ui.withdrawal_words import lines_of

_SEEN, _SAID = "withdrawal seen", "withdrawal said"
_REASON = unsaved.key_for("withdrawal")


def show(account: Account, project: Project) -> None:
    """Draw the form; what was seen for another choice is no longer shown."""
    with process.reading() as rows:
        there = choices(rows, project_id=key_of(project))
    scope = _scope(there)
    if st.button("See what it touches", disabled=scope == Scope()):
        _look(account, project, scope)
    if said := st.session_state.pop(_SAID, None):
        kind, words = said
        (st.success if kind == "done" else st.error)(plain(words))
    seen = st.session_state.get(_SEEN)
    if seen is None or seen[0] != scope:
        return
    st.caption("Once it is withdrawn:")
    for line in lines_of(seen[1]):
        st.text(line)
    _act(project, scope)


def _scope(there: Choices) -> Scope:
    who, what = st.columns(2)
    annotator = who.selectbox(
        "Annotator", list(there.annotators), index=None, placeholder="Everyone",
        format_func=lambda key: there.annotators[key], key="withdraw annotator",
    )  # fmt: skip
    imported = what.selectbox(
        "Import", list(there.imports), index=None, placeholder="Whatever brought it",
        format_func=lambda key: f"{key}: {there.imports[key]}", key="withdraw import",
    )  # fmt: skip
    start, end = st.columns(2)
    since = start.datetime_input("From (UTC)", value=None, key="withdraw since")
    until = end.datetime_input("Until (UTC), not included", value=None, key="withdraw until")
    return Scope(annotator, imported, _utc(since), _utc(until))


def _utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)


def _look(account: Account, project: Project, scope: Scope) -> None:
    try:
        with process.reading() as rows:
            found: Touched = touched(
                rows, project=project, account=account, scope=scope, home=process.settings().home
            )
        st.session_state[_SEEN] = (scope, found)
    except RankloopError as error:
        st.session_state[_SAID] = ("refused", str(error))


def _act(project: Project, scope: Scope) -> None:
    st.text_input("Reason", help="It is kept in the record.", **unsaved.field(_REASON))
    st.checkbox(
        "Ask others instead: the tasks go back to the queue",
        value=labeling_settings(project).withdrawals.requeue,
        key="withdraw requeue",
    )
    if scope.annotator_id is not None and scope.until is None:
        st.caption("What this annotator judges from now on is withdrawn too, until it is reverted.")
    st.button("Withdraw", type="primary", on_click=_withdraw, args=(project, scope))


def _withdraw(project: Project, scope: Scope) -> None:
    account = session.require_account()
    try:
        with process.writing() as rows:
            done = withdraw(
                rows, project=rows.get_one(Project, project.id), by=account, scope=scope,
                reason=st.session_state[_REASON],
                requeue=st.session_state["withdraw requeue"],
            )  # fmt: skip
    except RankloopError as error:
        st.session_state[_SAID] = ("refused", str(error))
        return
    unsaved.forget(_REASON)
    st.session_state.pop(_SEEN, None)
    st.session_state[_SAID] = ("done", f"Withdrawn, as number {done.id}. It can be reverted below.")
