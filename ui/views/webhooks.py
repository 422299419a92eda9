"""The webhooks page: who is told of what, how the last deliveries went, and a test."""

from dataclasses import asdict

import pandas
import streamlit as st

from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.webhooks.subscriptions import last_deliveries, webhooks
from ui import process, session, webhook_deeds
from ui.plain_text import plain

_EMPTY = "No other program is told of anything yet. Add an address below."


def show() -> None:
    """Show the webhooks with their deeds, the form for one more, and the last deliveries."""
    account, project = session.require_account(), process.project()
    require(account, Action.MANAGE_WEBHOOKS, project_id=process.project_id())
    st.title("Webhooks")
    with process.reading() as rows:
        found = webhooks(rows, project_id=key_of(project), account=account)
        last = last_deliveries(rows, project_id=key_of(project), account=account)
    webhook_deeds.say_what_came()
    if not found:
        st.info(_EMPTY)
    for one in found:
        words, test, remove = st.columns([6, 1, 1])
        words.text(f"{one.id}. {one.url}" + ("" if one.active else " (switched off)"))
        words.caption(plain(
            f"{', '.join(one.kinds)}; secret in {one.secret_env}; {one.waiting} waiting, "
            f"{one.delivered} delivered, {one.given_up} given up"
        ))  # fmt: skip
        arguments = (project, one.id)
        test.button("Test", key=f"test {one.id}", on_click=webhook_deeds.test, args=arguments,
                    disabled=not one.active)  # fmt: skip
        remove.button(
            "Remove", key=f"remove {one.id}", on_click=webhook_deeds.remove, args=arguments
        )
    webhook_deeds.form(project)
    if last:
        st.subheader("Last deliveries")
        table = pandas.DataFrame(map(asdict, last)).drop(columns=["id"])
        st.dataframe(table, hide_index=True, placeholder="–")
