"""What the annotators page shows: how far each can be relied on, biases, drift, pace, models."""

from typing import Any

import pandas
import streamlit as st

from labeling.model_annotators.model_quality import ModelFigures
from labeling.statistics.annotator_reliability import AnnotatorReliability
from labeling.statistics.judgments_behind import Selection
from ui.charts import interval_chart, week_chart
from ui.charts.figure_table import figure_table
from ui.charts.natural_order import by_name
from ui.charts.ready_charts import Spec
from ui.charts.shares import share
from ui.quality.throughput_tables import LEAST_SECONDS

number = st.column_config.NumberColumn
#: pixels: names of imported annotators have that of the file at their end
NAME_WIDTH = 150


def of_annotator(row: dict[str, Any]) -> Selection:
    """Return the judgments of the annotator of a row."""
    return Selection(annotator=int(row["annotator_id"]))


def write_charts() -> None:
    """Write the page's charts, so that a look at it only fills them."""
    for name, write in (("with_others", _chart_of_others), ("first_shown_wins", _chart_of_first)):
        columns = ["name", name, f"{name}_low", f"{name}_high", "first_shown_chance"]
        write(pandas.DataFrame(columns=columns))
    _chart_of_weeks(pandas.DataFrame(columns=["name", "week", "agreement"]))


def reliability(found: AnnotatorReliability, weights: pandas.DataFrame) -> None:
    """Draw agreement with the others, the weights, and all that is known of each annotator."""
    table = found.annotators.drop(columns=["weight", "ability", "comparisons"])
    table = by_name(table.join(weights[["weight", "ability", "comparisons"]], on="annotator_id"))
    st.subheader("How far each can be relied on")
    st.caption(
        "Agreement with what most others said of the same tasks (leave-one-out), with 95 % "
        "intervals, the lowest first. Weight is what training and consolidation may use."
    )
    if weights.empty and found.annotators["judgments"].any():
        st.caption("The weights are being measured; look again in a moment.")
    if table["with_others"].notna().any():
        lowest_first = table.sort_values("with_others", na_position="last")
        st.vega_lite_chart(None, _chart_of_others(lowest_first), key="with-others")
    columns = {
        "name": st.column_config.TextColumn("Annotator", width=NAME_WIDTH),
        "judgments": "Judgments",
        "weight": number("Weight", format="%.2f", help="0: a coin, 1: always right"),
        "ability": share("Right", help="Share of comparisons, with the prior"),
        "with_others": share("Others", help="Agreement with the others, leave-one-out"),
        "with_reward_model": share(
            "Model",
            help="Agreement with the reward model, out of fold: it had not seen the label",
        ),
        "gold": share("Gold", help="Right on tasks with known answers"),
        "gold_tasks": number("of tasks", help="Tasks with known answers that were judged"),
        "self_agreement": share("Self", help="Agreement with oneself, on repeated tasks"),
        "fast": share("Too fast", help="Judgments quicker than reading"),
        "tie_share": share("Ties", help="Of their pairs"),
        "median_seconds": number("Seconds", format="%.1f", help="Median active time a judgment"),
        "judgments_an_hour": number("An hour", format="%.0f", help="Judgments an active hour"),
        "qualification": "Qualification",
    }
    rest = [name for name in table.columns if name not in columns]
    enough = table["median_seconds"] >= LEAST_SECONDS
    table = table.assign(judgments_an_hour=table["judgments_an_hour"].where(enough))
    figure_table(
        table[[*columns, *rest]], key="annotators", columns=columns, hidden=rest,
        behind=of_annotator,
    )  # fmt: skip


def position(found: AnnotatorReliability) -> None:
    """Draw how often what is shown first wins, by annotator, against chance."""
    table = by_name(found.annotators[found.annotators["first_shown_wins"].notna()])
    if table.empty:
        return
    st.subheader("Position bias")
    biased = [row["name"] for row in table.to_dict("records") if row["position_biased"]]
    if biased:
        st.text(f"Chance (the tick) lies outside the interval of {', '.join(biased)}.")
    else:
        st.text("Chance (the tick) lies within everybody's interval.")
    st.vega_lite_chart(None, _chart_of_first(table), key="position-bias")
    columns = {
        "name": "Annotator",
        "first_shown_wins": share("First shown wins"),
        "first_shown_wins_low": share("from"),
        "first_shown_wins_high": share("to"),
        "first_shown_chance": share("By chance"),
        "longer_wins": share("Longer wins", help="Of pairs that differ in length"),
        "longer_wins_low": share("from "),
        "longer_wins_high": share("to "),
    }
    figure_table(
        table[["annotator_id", *columns]], key="position-and-length", columns=columns,
        hidden=["annotator_id"], behind=of_annotator,
    )  # fmt: skip


def over_time(found: AnnotatorReliability) -> None:
    """Draw each chosen annotator's agreement with the others from week to week."""
    names = dict(zip(found.annotators["annotator_id"], found.annotators["name"], strict=True))
    weeks = found.weeks.assign(name=found.weeks["annotator_id"].map(names))
    if weeks["week"].nunique() < 2:
        return
    st.subheader("From week to week")
    busiest = weeks.groupby("name")["judgments"].sum().sort_values(ascending=False)
    chosen = st.multiselect(
        "Annotators", list(busiest.index), list(busiest.index[:4]),
        max_selections=week_chart.MOST_LINES,
    )  # fmt: skip
    shown = weeks[weeks["name"].isin(chosen)]
    if shown["agreement"].notna().any():
        st.vega_lite_chart(None, _chart_of_weeks(shown), key="weeks")
    columns = {
        "name": "Annotator",
        "week": st.column_config.DateColumn("Week from"),
        "judgments": "Judgments",
        "agreement": share("With others"),
        "tie_share": share("Ties"),
        "median_seconds": number("Median seconds", format="%.1f"),
    }
    rest = [name for name in shown.columns if name not in columns]
    figure_table(
        shown[[*columns, *rest]].sort_values(["week", "name"], ascending=[False, True]),
        key="annotators-by-week", columns=columns, hidden=rest, behind=_of_week,
    )  # fmt: skip


def models(found: list[ModelFigures]) -> None:
    """Draw what is known of models that judge."""
    if found:
        st.subheader("Models")
    for one in found:
        st.text(f"{one.name}: {one.in_words()}")


def _of_week(row: dict[str, Any]) -> Selection:
    since = pandas.Timestamp(row["week"])
    until = since + pandas.Timedelta(days=7)
    return Selection(
        annotator=int(row["annotator_id"]), since=since.isoformat(), until=until.isoformat()
    )


def _chart_of_others(table: pandas.DataFrame) -> Spec:
    return interval_chart.intervals(
        table, name="name", value="with_others", low="with_others_low", high="with_others_high",
        title="agreement with the others", form=".0%",
    )  # fmt: skip


def _chart_of_first(table: pandas.DataFrame) -> Spec:
    return interval_chart.intervals(
        table, name="name", value="first_shown_wins", low="first_shown_wins_low",
        high="first_shown_wins_high", chance="first_shown_chance",
        title="how often the first shown is on top", form=".0%",
    )  # fmt: skip


def _chart_of_weeks(weeks: pandas.DataFrame) -> Spec:
    return week_chart.over_weeks(
        weeks, name="name", value="agreement", title="agreement with the others", form=".0%"
    )
