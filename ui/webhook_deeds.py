"""What leads do on the webhooks page, and what came of it."""

import streamlit as st

from labeling.webhooks.messages import KINDS
from labeling.webhooks.subscriptions import add_webhook, remove_webhook, send_test
from storage.errors import RankloopError
from storage.tables import Project
from ui import process, session
from ui.plain_text import plain

_SAID = "webhook said"


def say_what_came() -> None:
    """Say what came of the last deed, once."""
    if said := st.session_state.pop(_SAID, None):
        well, words = said
        (st.success if well else st.error)(plain(words))


def form(project: Project) -> None:
    """Draw the form that adds a webhook."""
    with st.form("webhook"):
        st.text_input("Address", placeholder="https://example.org/hook", key="webhook url")
        st.multiselect(
            "Told of", list(KINDS), key="webhook kinds",
            format_func=lambda kind: f"{kind}: {KINDS[kind]}",
        )  # fmt: skip
        st.text_input(
            "Environment variable with the secret", placeholder="HOOK_SECRET", key="webhook secret",
            help="Of the process that delivers; it begins with HOOK_ or WEBHOOK_, and is no other "
            "address's. The secret itself is never kept here.",
        )  # fmt: skip
        st.form_submit_button("Add", on_click=_add, args=(project,))


def test(project: Project, webhook_id: int) -> None:
    """Send a test message and keep what the receiver said."""
    account = session.require_account()
    try:
        answer = send_test(
            process.engine(), project=project, by=account, webhook_id=webhook_id,
            private=process.settings().webhook_private_addresses,
        )  # fmt: skip
    except RankloopError as error:
        st.session_state[_SAID] = (False, str(error))
        return
    said = f"{answer.status or ''} {answer.error}".strip()
    words = "The receiver took the test message" if answer.accepted else "It was not taken"
    st.session_state[_SAID] = (answer.accepted, f"{words}: {said}")


def remove(project: Project, webhook_id: int) -> None:
    """Tell a webhook nothing more."""
    account = session.require_account()
    try:
        with process.writing() as rows:
            remove_webhook(rows, project=project, by=account, webhook_id=webhook_id)
    except RankloopError as error:
        st.session_state[_SAID] = (False, str(error))


def _add(project: Project) -> None:
    account = session.require_account()
    try:
        with process.writing() as rows:
            done = add_webhook(
                rows, project=project, by=account, url=st.session_state["webhook url"],
                kinds=st.session_state["webhook kinds"],
                secret_env=st.session_state["webhook secret"],
                private=process.settings().webhook_private_addresses,
            )  # fmt: skip
    except RankloopError as error:
        st.session_state[_SAID] = (False, str(error))
    else:
        st.session_state[_SAID] = (True, f"Webhook {done.id} is told from now on; test it.")
