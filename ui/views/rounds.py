"""The rounds page: what the worker does now, and how the rounds so far went; it follows live."""

import streamlit as st

from labeling.keys import key_of
from labeling.permissions import Action, allows
from labeling.rounds import request_round
from storage.errors import RankloopError
from ui import process, session
from ui.charts import win_rate_chart
from ui.charts.figure_table import figure_table
from ui.figures import measured
from ui.languages import DEFAULT
from ui.plain_text import plain
from ui.rounds import policy_table, round_now, round_report, version_comparison
from ui.rounds.round_table import columns_of, table_of

SECONDS = 2


def show() -> None:
    """Show the round that runs, the versions, all rounds, a report, and two versions compared."""
    account, words = session.require_account(), session.words()
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.title(words.say("rounds.title"), width="content")
        if allows(account, Action.REQUEST_ROUND, project_id=process.project_id()):
            st.button(words.say("rounds.start"), on_click=_start)
    for key, say in (("round_refusal", st.warning), ("rolled_back", st.toast)):
        if told := st.session_state.pop(key, None):
            say(plain(told))
    # Versions, and how each writes, are kept from whoever ranks blind.
    versions = allows(account, Action.SEE_QUALITY, project_id=process.project_id())
    loop = measured.loop(account)
    st.fragment(round_now.show, run_every=SECONDS)(account, loop, versions=versions)
    if versions:
        policy_table.show(
            loop.policies,
            may_roll_back=allows(account, Action.ROLL_BACK, project_id=process.project_id()),
        )
        win_rate_chart.show(loop.policies)
    if not loop.rounds:
        key = "rounds.none" if loop.until_round else "rounds.none_due"
        st.info(words.say(key, count=loop.until_round))
        return
    st.subheader(words.say("rounds.all"))
    table = table_of(loop.rounds, words, versions=versions)
    figure_table(table, key="rounds", columns=columns_of(words))
    if words.language != DEFAULT and not versions:
        st.caption(words.say("rounds.english"))
    if ended := round_report.choose(loop.rounds):
        round_report.show(ended, versions=versions)
    if versions:
        version_comparison.show(account, loop)


def _start() -> None:
    account = session.require_account()
    try:
        with process.writing() as rows:
            request_round(rows, project_id=key_of(process.project()), account=account)
    except RankloopError as error:
        st.session_state["round_refusal"] = str(error)
