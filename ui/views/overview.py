"""The overview: the loop at a glance, and what wants a lead."""

import streamlit as st

from labeling.alarms import alarms
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from ui import process, session
from ui.charts import win_rate_chart
from ui.figures import measured
from ui.quality import overview_cards


def show() -> None:
    """Show what is live, what comes next, what is wrong, and how the versions went."""
    account = session.require_account()
    require(account, Action.SEE_QUALITY, project_id=process.project_id())
    st.title("Overview")
    loop, quality = measured.loop(account), measured.quality(account)
    runs = measured.worker() is not None
    found = alarms(
        labeling_settings(process.project()).alarms,
        loop=loop,
        worker_runs=runs,
        alpha=quality.krippendorff_alpha.value,
        reliable=measured.reliability(account),
    )
    overview_cards.of_loop(loop)
    overview_cards.of_people(quality, measured.work(account), measured.waiting(account))
    overview_cards.alarms(found)
    if quality.judgments == 0:
        st.info("Nothing is judged yet. Rank some completions, or invite annotators to.")
    overview_cards.work_over_time(measured.work(account))
    win_rate_chart.show(loop.policies)
