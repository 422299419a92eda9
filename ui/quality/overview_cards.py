"""What the overview says in cards and lines: the loop, the people, the alarms."""

from datetime import datetime, timedelta

import streamlit as st

from labeling.alarms import Alarm
from labeling.loop_state import LoopState
from labeling.statistics.quality import Quality
from labeling.statistics.throughput import WorkByHour
from storage.clock import now
from storage.plurals import counted, form
from ui import page_links
from ui.charts import work_charts
from ui.charts.figure_card import figure_card
from ui.plain_text import plain
from ui.quality.agreement_tables import figure_words
from ui.rounds.policy_table import stale_card

DAYS_SHOWN = 30


def of_loop(loop: LoopState) -> None:
    """Draw the live policy, what people think of it, the way to the next round, freshness."""
    policy, wins, until, pool = st.columns(4)
    live = loop.live_policy
    since = live["published_at"]
    when = f"since {datetime.fromisoformat(since):%Y-%m-%d %H:%M} UTC" if since else ""
    figure_card(policy, "Live policy", f"version {loop.live}", when)
    rate = live["human_win_rate"]
    if rate is None:
        figure_card(wins, "Human win rate", "–", "not compared by people yet")
    else:
        said = (
            f"{rate['low']:.0%} to {rate['high']:.0%} over version {rate['over']}, "
            f"{counted(rate['judgments'], 'comparison')}"
        )
        figure_card(wins, "Human win rate", f"{rate['value']:.0%}", said)
    wanted, left = loop.judgments_per_round, loop.until_round
    come = f"{wanted - left:,} of {counted(wanted, 'judgment')} {form(wanted, 'has', 'have')} come"
    figure_card(until, "Until the next round", left, come, 1 - left / wanted)
    stale_card(pool, loop.pool)


def of_people(quality: Quality, work: WorkByHour, waiting: int) -> None:
    """Draw how much is judged, how well people agree, and what waits for a lead."""
    judged, alpha, pairwise, review = st.columns(4)
    hours = work.hours
    today = int(hours.loc[hours["hour"] > now() - timedelta(hours=24), "judgments"].sum())
    figure_card(judged, "Judgments", f"{quality.judgments:,}", f"{today:,} in the last 24 hours")
    figure_card(alpha, "Krippendorff's alpha", *figure_words(quality.krippendorff_alpha))
    figure_card(pairwise, "Pairwise agreement", *figure_words(quality.pairwise_agreement))
    figure_card(review, "Waiting for review", waiting, "flagged, disputed or doubted tasks")


def alarms(found: list[Alarm]) -> None:
    """Draw what wants a lead, each with the page on which to act."""
    if not found:
        st.success("Nothing wants you: no alarm.", icon=":material/check:")
        return
    st.subheader("Alarms")
    for one in found:
        with st.container(
            border=True, horizontal=True, horizontal_alignment="distribute",
            vertical_alignment="center",
        ):  # fmt: skip
            st.markdown(f":material/warning: {plain(one.words)}", width="stretch")
            page_links.link(one.page, f"Open {one.page.capitalize()}")


def work_over_time(work: WorkByHour) -> None:
    """Draw the judgments of the last days."""
    hours = work.hours[work.hours["hour"] > now() - timedelta(days=DAYS_SHOWN)]
    if hours.empty:
        return
    st.subheader(f"Judgments of the last {DAYS_SHOWN} days")
    days = hours.assign(time=hours["hour"].dt.floor("D")).groupby("time", as_index=False)
    span = timedelta(days=DAYS_SHOWN)
    chart = work_charts.judgments_over_time(days[["judgments"]].sum(), unit="day", span=span)
    st.altair_chart(chart, key="work")
    page_links.link("throughput", "By hour and by annotator, as tables: Throughput")
