"""What the agreement page shows: measures, what divides them, who agrees with whom."""

from datetime import datetime, timedelta
from typing import Any

import pandas
import streamlit as st

from labeling.statistics.breakdowns import Dimension
from labeling.statistics.figure import Figure
from labeling.statistics.judgments_behind import Selection
from labeling.statistics.quality import Quality
from storage.plurals import counted
from storage.tables import Account
from ui.charts import interval_chart, matrix_chart
from ui.charts.figure_card import figure_card
from ui.charts.figure_table import figure_table, link_behind, open_behind
from ui.charts.ready_charts import Spec
from ui.charts.shares import share
from ui.figures import measured
from ui.figures.measures import DIVIDED

number = st.column_config.NumberColumn
#: field of `Quality` to its name, and what it is in a sentence
MEASURES: dict[str, tuple[str, str]] = {
    "krippendorff_alpha": (
        "Krippendorff's alpha, pairs",
        "Nominal, on better, tied, worse of each pair. 0 is chance, 1 full agreement.",
    ),
    "krippendorff_alpha_of_ranks": (
        "Krippendorff's alpha, ranks", "Ordinal, on the rank of each completion.",
    ),
    "fleiss_kappa": ("Fleiss' kappa", "On pairs; chance by how often each outcome was given."),
    "cohen_kappa": ("Cohen's kappa", "On pairs, mean over every two annotators."),
    "cohen_kappa_linear": ("Cohen's kappa, linear", "A tie is half as far as the contrary."),
    "cohen_kappa_quadratic": ("Cohen's kappa, quadratic", "A tie is a quarter as far."),
    "gwet_ac1": ("Gwet's AC1", "Steady where nearly all give one outcome."),
    "gwet_ac2": ("Gwet's AC2", "The same, a tie being nearer than the contrary."),
    "kendall_tau_b": ("Kendall's tau-b", "Of every two rankings of a task. −1 to 1."),
    "kendall_w": ("Kendall's W", "Of all rankings of a task, corrected for ties. Chance is 1/m."),
    "pairwise_agreement": ("Pairwise agreement", "Pairs ordered alike; a tie agrees with a tie."),
    "pairwise_without_ties": ("Pairwise agreement, no ties", "Pairs that neither of two tied."),
    "exact_order": ("Same order", "Two rankings are the same, ties included."),
    "top_one": ("Same best", "Two rankings put the same on top."),
    "tie_share": ("Ties", "Share of ranked pairs that are tied."),
}  # fmt: skip


DIMENSIONS: dict[Dimension, str] = {
    "policy": "Policy version", "tag": "Prompt tag", "language": "Language",
    "guideline": "Guidelines", "week": "Week", "criterion": "Criterion",
}  # fmt: skip


def write_charts() -> None:
    """Write the page's charts, so that a look at it only fills them."""
    _chart_of_measures(pandas.DataFrame(columns=["Measure", "value", "low", "high"]))
    groups = pandas.DataFrame(columns=["group", "value", "low", "high"])
    _chart_of_groups(groups, DIVIDED[0])
    columns = ["annotator_id", "other_id", "name", "other", "agreement", "n"]
    _chart_of_every_two(pandas.DataFrame(columns=columns))


def cards(found: Quality) -> None:
    """Draw the figures that are looked at first, and what alpha means."""
    judged, alpha, pairwise, order = st.columns(4)
    of_tasks = (
        f"of {counted(found.tasks, 'task')}, {found.tasks_judged_twice:,} judged more than once"
    )
    figure_card(judged, "Judgments", f"{found.judgments:,}", of_tasks)
    figure_card(alpha, "Krippendorff's alpha", *figure_words(found.krippendorff_alpha))
    figure_card(pairwise, "Pairwise agreement", *figure_words(found.pairwise_agreement))
    figure_card(order, "Kendall's W", *figure_words(found.kendall_w))
    st.text(meaning(found.krippendorff_alpha))
    link_behind("The judgments behind these figures", Selection(shared=1))


def figure_words(figure: Figure) -> tuple[str, str]:
    """Return a figure with two decimals, and its interval and number; a dash where it has none."""
    if figure.value is None:
        return "–", "needs tasks that two or more people have judged"
    spread = ""
    if figure.low is not None and figure.high is not None:
        spread = f"{figure.low:.2f} to {figure.high:.2f}, "
    return f"{figure.value:.2f}", f"{spread}n = {figure.rests_on}"


def meaning(alpha: Figure) -> str:
    """Say in one sentence what an alpha means (bounds: Krippendorff 2004, Content Analysis)."""
    if alpha.value is None:
        return (
            "Agreement needs tasks that two or more people have judged: to raise the project's "
            "overlap, run RANKLOOP_OVERLAP=2 rankloop init and start the worker again."
        )
    if alpha.value >= 0.8:
        return "Annotators agree well beyond chance: their judgments can be relied on."
    if alpha.value >= 0.667:
        return "Annotators agree beyond chance: good enough for tentative conclusions."
    if alpha.value > 0.2:
        return (
            "Annotators agree beyond chance, but loosely, as is common for preferences; clearer "
            "guidelines and more judgments a task help."
        )
    return "Annotators agree hardly more than chance would: look at the guidelines first."


def measures(found: Quality) -> None:
    """Draw every measure with its interval."""
    st.subheader("Every measure")
    table = pandas.DataFrame(
        [
            {"Measure": title, **_figure(getattr(found, name)), "What it is": about}
            for name, (title, about) in MEASURES.items()
        ]
    )
    if table["value"].notna().any():
        st.vega_lite_chart(None, _chart_of_measures(table), key="measures")
    figure_table(
        table, key="agreement", columns=FIGURE_COLUMNS, behind=lambda _: Selection(shared=1)
    )


FIGURE_COLUMNS: dict[str, Any] = {
    "value": number("Value", format="%.3f"),
    "low": number("from", format="%.3f", help="95 % interval, bootstrapped over tasks"),
    "high": number("to", format="%.3f"),
    "n": number("n", format="localized"),
    "of": "of",
}


def divided(account: Account) -> None:
    """Draw one measure by version, tag, language, guideline, week or criterion, as chosen."""
    st.subheader("What divides it")
    with st.container(horizontal=True):
        by = st.selectbox(
            "By", list(DIMENSIONS), format_func=lambda one: DIMENSIONS[one], key="by", width=240,
            index=list(DIMENSIONS).index(measured.USUAL),
        )  # fmt: skip
        name = st.selectbox(
            "Measure", list(DIVIDED), format_func=lambda one: MEASURES[one][0],
            key="by-measure", width=280,
        )  # fmt: skip
    found = measured.divided(account, by)
    found = found[found["measure"] == name]
    if found.empty:
        st.info("No judgment has this; choose something else.")
        return
    named = {str(one): name for one, name in measured.imported_policies(account).items()}
    groups = [
        named.get(one, _group(by, one)) if by == "policy" else _group(by, one)
        for one in found["group"]
    ]
    table = found.assign(group=groups, key=found["group"])
    columns = {
        "group": DIMENSIONS[by], **FIGURE_COLUMNS,
        "judgments": number("Judgments", format="localized"),
        "tasks": number("Tasks", format="localized"),
    }  # fmt: skip
    table = table[[*columns, "key"]].reset_index(drop=True)
    if table["value"].notna().any():
        st.vega_lite_chart(None, _chart_of_groups(table, name), key=f"by-{by}")
    figure_table(
        table, key=f"agreement-by-{by}", columns=columns, hidden=["key"],
        behind=lambda row: _of_group(by, str(row["key"])),
    )  # fmt: skip


def between(found: pandas.DataFrame, names: dict[int, str]) -> None:
    """Draw who agrees with whom; `found` is `agreement_matrix`'s table."""
    if found.empty:
        return
    st.subheader("Who agrees with whom")
    table = found.assign(
        name=found["annotator_id"].map(names), other=found["other_id"].map(names)
    ).sort_values("agreement")
    swapped = table.rename(
        columns={"annotator_id": "other_id", "other_id": "annotator_id", "name": "other",
                 "other": "name"}
    )  # fmt: skip
    both = pandas.concat([table, swapped], ignore_index=True)
    busiest = both.groupby("name")["n"].sum().nlargest(matrix_chart.MOST).index
    square = both[both["name"].isin(busiest) & both["other"].isin(busiest)]
    st.caption(
        "Share of pairs that both ordered alike. Choose a cell, or a row below, to see what the "
        "two said of the same tasks."
    )
    chart = _chart_of_every_two(square)
    with st.container(key="wide-chart"):
        event = st.vega_lite_chart(None, chart, key="matrix", on_select="rerun", width="content")
    columns = {
        "name": "Annotator",
        "other": "and",
        "agreement": share("Agreement"),
        "kappa": number("Cohen's kappa", format="%.2f"),
        "n": number("Pairs", format="localized"),
    }
    figure_table(
        table[["annotator_id", "other_id", *columns]], key="annotator-by-annotator",
        columns=columns, hidden=["annotator_id", "other_id"], behind=_of_two,
    )  # fmt: skip
    if cells := event["selection"].get("two"):
        open_behind(_of_two(cells[0]))


def _chart_of_measures(table: pandas.DataFrame) -> Spec:
    return interval_chart.intervals(table, name="Measure", title="value, 95 % interval")


def _chart_of_groups(table: pandas.DataFrame, measure: str) -> Spec:
    title = f"{MEASURES[measure][0]}, 95 % interval"
    return interval_chart.intervals(table, name="group", title=title)


def _chart_of_every_two(square: pandas.DataFrame) -> Spec:
    return matrix_chart.matrix(square, value="agreement", title="agreement", form=".0%", key="two")


def _group(by: Dimension, group: str) -> str:
    nothing = {"language": ("", "not said"), "guideline": ("0", "before any")}
    if by in nothing and group == nothing[by][0]:
        return nothing[by][1]
    return f"version {group}" if by in ("policy", "guideline") else group


def _of_group(by: Dimension, group: str) -> Selection:
    if by == "policy":
        return Selection(version=int(group), shared=1)
    if by == "guideline":
        return Selection(guideline=int(group), shared=1)
    if by == "tag":
        return Selection(tag=group, shared=1)
    if by == "language":
        return Selection(language=group, shared=1)
    if by == "week":
        since = datetime.strptime(f"{group}-1", "%G-W%V-%u")
        until = since + timedelta(days=7)
        return Selection(since=since.isoformat(), until=until.isoformat())
    return Selection(shared=1)


def _of_two(row: dict[str, Any]) -> Selection:
    return Selection(annotator=int(row["annotator_id"]), other=int(row["other_id"]))


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n,
        "of": figure.of,
    }  # fmt: skip
