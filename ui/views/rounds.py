"""The rounds page: what the worker does now, and how the rounds so far went; it follows live."""

from typing import Any

import streamlit as st

from labeling.permissions import Action, allows
from labeling.policies import live_policy
from labeling.rollback import policy_summaries
from labeling.rounds import judgments_until_round, request_round, round_curves, round_summaries
from labeling.work_queue.freshness import Staleness, staleness
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import RankloopError
from storage.tables import WorkerLease
from ui import charts, policy_table, process, round_report, session
from ui.figure_card import figure_card
from ui.plain_text import plain
from ui.round_table import columns_of, progress_of, table_of

SECONDS = 2


def show() -> None:
    """Show the worker, the round that runs, the curves, the table and a round's report."""
    account = session.require_account()
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.title("Rounds", width="content")
        if allows(account, Action.REQUEST_ROUND):
            st.button("Start a round now", on_click=_start)
    if refusal := st.session_state.pop("round_refusal", None):
        st.warning(plain(refusal))
    # Samples show how each policy writes: whoever ranks blind must not see them.
    _live(
        samples=allows(account, Action.SEE_QUALITY),
        may_roll_back=allows(account, Action.ROLL_BACK),
    )


@st.fragment(run_every=SECONDS)
def _live(*, samples: bool, may_roll_back: bool) -> None:
    if told := st.session_state.pop("rolled_back", None):
        st.toast(plain(told), duration="long")
    project = process.project()
    assert project.id is not None
    wanted = process.settings().judgments_per_round
    with reading(process.engine()) as rows:
        rounds = round_summaries(rows, project_id=project.id)
        left = judgments_until_round(rows, project_id=project.id, judgments_per_round=wanted)
        version = live_policy(rows, project_id=project.id).version
        lease = rows.get(WorkerLease, project.id)
        points = round_curves(rows, round_id=rounds[-1]["id"]) if rounds else None
        policies = policy_summaries(rows, project_id=project.id)
        stale = staleness(rows, project.id)
    _head(version, left, wanted, lease, stale)
    policy_table.show(policies, may_roll_back=may_roll_back)
    if not rounds:
        st.info(f"No round yet. The first one starts by itself after {left} more judgments.")
        return
    latest = rounds[-1]
    share, words = progress_of(latest, points)
    if share is not None:
        st.progress(share, text=words)
    _curves(latest["number"], points)
    st.subheader("All rounds")
    st.dataframe(table_of(rounds), hide_index=True, column_config=columns_of())
    if ended := round_report.choose(rounds):
        round_report.show(ended, samples=samples)


def _head(
    version: int, left: int, wanted: int, lease: WorkerLease | None, stale: Staleness
) -> None:
    policy, judgments, pool, worker = st.columns(4)
    policy_table.stale_card(pool, stale)
    figure_card(policy, "Live policy", f"version {version}", "whose completions are being ranked")
    come, share = f"{wanted - left} of {wanted} have come", 1 - left / wanted
    figure_card(judgments, "Until the next round", f"{left} judgments", come, share)
    if lease is None or lease.expires_at <= now():
        figure_card(worker, "Worker", "not running", "start one with: rankloop worker")
        return
    figure_card(worker, "Worker", "running", " · ".join(filter(None, [lease.doing, lease.device])))


def _curves(number: int, points: Any) -> None:
    drawn = charts.curves(points)
    if drawn:
        st.subheader(f"Curves of round {number}")
    for start in range(0, len(drawn), 2):
        for place, (title, chart) in zip(st.columns(2), drawn[start : start + 2], strict=False):
            place.caption(title)
            place.altair_chart(chart, key=f"curve {number} {title}")


def _start() -> None:
    account, project = session.require_account(), process.project()
    assert project.id is not None
    try:
        with writing(process.engine()) as rows:
            request_round(rows, project_id=project.id, account=account)
    except RankloopError as error:
        st.session_state["round_refusal"] = str(error)
