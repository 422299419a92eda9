"""What the throughput page shows of a span of time: cards, charts, and a table under each."""

from datetime import timedelta
from typing import Any

import pandas
import streamlit as st

from labeling.statistics.judgments_behind import Selection
from labeling.statistics.throughput import Throughput
from storage.plurals import counted
from ui.charts import work_charts
from ui.charts.figure_card import figure_card
from ui.charts.figure_table import figure_table

#: a longer span is drawn by days, not by hours
BY_HOURS = timedelta(days=3)
#: active time a judgment under which its inverse says nothing: of programs, which do not read
LEAST_SECONDS = 0.1


def cards(found: Throughput, currency: str) -> None:
    """Draw the figures of everyone together."""
    pace, time, total, cost = st.columns(4)
    if found.judgments_an_hour is None or (found.seconds or 0) < LEAST_SECONDS:
        figure_card(pace, "Judgments an hour", "–", "hardly any active time was recorded")
    else:
        figure_card(pace, "Judgments an hour", f"{found.judgments_an_hour:,.0f}", "of active time")
    seconds = f"{found.seconds:.1f} s"
    figure_card(time, "Active time a task", seconds, "of one annotator; breaks are not counted")
    annotators = len(found.annotators)
    hours = f"in {found.active_hours:.1f} active hours, by {counted(annotators, 'annotator')}"
    figure_card(total, "Judgments", f"{found.judgments:,}", hours)
    if found.cost is None:
        figure_card(cost, "Cost", "–", "Set what an hour is paid: Settings, section Cost")
        return
    one = f"{found.cost / found.judgments:.3f} {currency} a judgment"
    figure_card(cost, "Cost", f"{found.cost:,.2f} {currency}", one)


def over_time(found: Throughput, span: timedelta | None) -> None:
    """Draw judgments by hour or by day, with the table."""
    unit = "hour" if span is not None and span <= BY_HOURS else "day"
    st.subheader(f"Judgments by {unit}")
    time = found.hours["hour"].dt.floor("h" if unit == "hour" else "D")
    work = found.hours.assign(time=time).groupby("time", as_index=False)[
        ["judgments", "milliseconds"]
    ].sum()  # fmt: skip
    st.altair_chart(
        work_charts.judgments_over_time(work, unit=unit, span=span), key="work-over-time"
    )
    step = timedelta(hours=1) if unit == "hour" else timedelta(days=1)
    table = pandas.DataFrame(
        {
            "time": work["time"],
            "judgments": work["judgments"],
            "active_hours": work["milliseconds"] / 3_600_000,
        }
    ).iloc[::-1]

    def behind(row: dict[str, Any]) -> Selection:
        since = row["time"]
        return Selection(since=_text(since), until=_text(since + step))

    form = "YYYY-MM-DD HH:mm" if unit == "hour" else "YYYY-MM-DD"
    columns = {
        "time": st.column_config.DatetimeColumn(f"{unit.capitalize()} (UTC)", format=form,
                                                timezone="UTC"),
        "judgments": "Judgments",
        "active_hours": st.column_config.NumberColumn("Active hours", format="%.2f"),
    }  # fmt: skip
    figure_table(table, key=f"judgments-by-{unit}", columns=columns, behind=behind)


def by_annotator(found: Throughput, currency: str) -> None:
    """Draw active time a judgment by annotator, with the table."""
    st.subheader("Active time a task, by annotator")
    st.altair_chart(
        work_charts.bars(found.annotators, value="seconds", title="seconds a task", form=".1f"),
        key="active-time",
    )
    number = st.column_config.NumberColumn
    columns = {
        "name": "Annotator",
        "judgments": "Judgments",
        "active_hours": number("Active hours", format="%.2f"),
        "judgments_an_hour": number("Judgments an hour", format="%.0f", help="Of active time"),
        "seconds": number("Seconds a task", format="%.1f", help="Active time, mean"),
        "cost": number(f"Cost, {currency}", format="%.2f"),
    }
    hidden = ["annotator_id", *(["cost"] if found.cost is None else [])]
    enough = found.annotators["seconds"] >= LEAST_SECONDS
    pace = found.annotators["judgments_an_hour"].where(enough)
    figure_table(
        found.annotators.assign(judgments_an_hour=pace), key="throughput-by-annotator",
        columns=columns, hidden=hidden,
        behind=lambda row: Selection(annotator=int(row["annotator_id"])),
    )  # fmt: skip


def _text(time: pandas.Timestamp) -> str:
    return time.tz_convert("UTC").tz_localize(None).isoformat()
