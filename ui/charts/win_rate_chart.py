"""How often people preferred each version to the one before it: a chart and its table."""

from typing import Any

import altair
import pandas
import streamlit as st

from labeling.statistics.judgments_behind import Selection
from ui.charts.figure_table import figure_table
from ui.charts.shares import share

HEIGHT = 220


def show(policies: list[dict[str, Any]]) -> None:
    """Draw the human win rates of `policy_summaries`; nothing where people compared none."""
    rates = [one["human_win_rate"] for one in policies if one["human_win_rate"]]
    if not rates:
        return
    st.subheader("What people think of each version")
    st.caption(
        "How often people, shown two completions blind, preferred a version to the one before it; "
        "a tie is half a win, bars are Wilson's 95 % intervals. Above the line is better."
    )
    table = pandas.DataFrame(rates)[
        ["version", "over", "value", "low", "high", "wins", "ties", "losses"]
    ]
    st.altair_chart(win_rates(table), key="win-rates")
    shares = {"value": share("Win rate"), "low": share("from"), "high": share("to")}
    columns = {"version": "Version", "over": "Over version", **shares, "wins": "Wins",
               "ties": "Ties", "losses": "Losses"}  # fmt: skip
    figure_table(
        table, key="human-win-rates", columns=columns,
        behind=lambda row: Selection(version=int(row["version"]), arena=1),
    )  # fmt: skip


def win_rates(table: pandas.DataFrame) -> Any:
    """Return points with intervals and labels, one a version, over a dashed line at a half."""
    base = altair.Chart(table).encode(
        x=altair.X("version:O", title="version", axis=altair.Axis(labelAngle=0))
    )
    value = altair.Y(
        "value:Q", title="win rate", scale=altair.Scale(domain=[0, 1]),
        axis=altair.Axis(format="%"),
    )  # fmt: skip
    spread = base.mark_rule(strokeWidth=2, color="gray").encode(y=altair.Y("low:Q"), y2="high:Q")
    points = base.mark_point(size=90, filled=True).encode(
        y=value,
        tooltip=["version", "over", altair.Tooltip("value:Q", format=".0%", title="win rate"),
                 altair.Tooltip("low:Q", format=".0%"), altair.Tooltip("high:Q", format=".0%"),
                 "wins", "ties", "losses"],
    )  # fmt: skip
    words = base.mark_text(align="left", dx=8).encode(
        y=value, text=altair.Text("value:Q", format=".0%"), color=altair.value("gray")
    )
    half = (
        altair.Chart(pandas.DataFrame({"half": [0.5]}))
        .mark_rule(strokeDash=[6, 4], color="gray")
        .encode(y="half:Q")
    )
    return (half + spread + points + words).properties(height=HEIGHT)
