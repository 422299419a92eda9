"""The throughput page: how much is judged, in how much active time, at what cost."""

from datetime import timedelta

import streamlit as st

from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from labeling.statistics.throughput import WorkByHour, throughput
from storage.clock import now
from ui import process, session
from ui.figures import measured
from ui.quality import throughput_tables

SPANS = {
    "24 hours": timedelta(hours=24), "7 days": timedelta(days=7), "30 days": timedelta(days=30),
    "Everything": None,
}  # fmt: skip
FIRST = ("7 days", "30 days")


def show() -> None:
    """Show figures, charts and tables of a span of time."""
    account = session.require_account()
    require(account, Action.SEE_QUALITY, project_id=process.project_id())
    st.title("Throughput")
    work = measured.work(account)
    if work.hours.empty:
        st.info("Nobody has judged yet. Judgments an hour and active time appear with the first.")
        return
    label = st.segmented_control(
        "Time", list(SPANS), default=_first(work), label_visibility="collapsed", required=True
    )
    span, cost = SPANS[label], labeling_settings(process.project()).cost
    since = now() - span if span else None
    found = throughput(work, since=since, hourly_rate=cost.hourly_rate)
    if found.judgments == 0:
        st.info("Nobody has judged in this time; choose a longer one above.")
        return
    throughput_tables.cards(found, cost.currency)
    throughput_tables.over_time(found, span)
    throughput_tables.by_annotator(found, cost.currency)


def _first(work: WorkByHour) -> str:
    """Return the first of the usual spans in which anybody worked."""
    newest = work.hours["hour"].max()
    worked = [label for label in FIRST if newest >= now() - (SPANS[label] or timedelta())]
    return next(iter(worked), "Everything")
