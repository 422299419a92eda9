"""The quality page: how well annotators agree, and what each has done."""

import pandas
import streamlit as st

from labeling.model_annotators.model_quality import model_figures
from labeling.statistics.agreement import Figure
from labeling.statistics.quality import Quality, quality
from labeling.statistics.reliability import reliability
from storage.engine import reading
from ui import charts, process, session
from ui.figure_card import figure_card
from ui.known_answer_tables import reliability_table


def show() -> None:
    """Show agreement and judgments per annotator, or what is missing for them."""
    account, project = session.require_account(), process.project()
    assert project.id is not None
    with reading(process.engine()) as rows:
        found = quality(rows, project_id=project.id, account=account)
        reliable = reliability(rows, project_id=project.id, account=account)
        models = model_figures(rows, project_id=project.id, account=account)
    st.title("Quality")
    if found.annotators.empty:
        st.info("Nothing is judged yet. Figures appear here with the first judgments.")
        return
    _figures(found)
    st.subheader("Annotators")
    st.altair_chart(charts.judgments_by_annotator(found.annotators[["name", "judgments"]]))
    _table(found)
    st.subheader("Known answers and repeats")
    reliability_table(reliable)
    if models:
        st.subheader("Models")
    for one in models:
        st.text(f"{one.name}: {one.in_words()}")


def _figures(found: Quality) -> None:
    judgments, pairwise, alpha = st.columns(3)
    of_tasks = f"of {found.tasks} tasks, {found.tasks_judged_twice} judged more than once"
    figure_card(judgments, "Judgments", found.judgments, of_tasks)
    of_pairs = f"n = {found.pairwise_agreement.n} {found.pairwise_agreement.of}"
    figure_card(pairwise, "Pairwise agreement", words(found.pairwise_agreement), of_pairs)
    of_ranks = words(found.krippendorff_alpha_of_ranks)
    on_ranks = f"on pairs, n = {found.krippendorff_alpha.n}; on ranks {of_ranks}"
    figure_card(alpha, "Krippendorff's alpha", words(found.krippendorff_alpha), on_ranks)
    st.text(meaning(found.krippendorff_alpha))


def words(figure: Figure) -> str:
    """Return a figure with two decimals, or a dash where nothing can be measured."""
    return "–" if figure.value is None else f"{figure.value:.2f}"


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


def _table(found: Quality) -> None:
    number = st.column_config.NumberColumn
    table = found.annotators.drop(columns=["annotator_id"])
    st.dataframe(
        table.assign(last_at=pandas.to_datetime(table["last_at"])),
        hide_index=True,
        column_config={
            "name": "Name",
            "kind": "Kind",
            "judgments": "Judgments",
            "skipped": "Skipped",
            "tie_share": number("Ties", format="percent", help="Share of their pairs ranked equal"),
            "median_seconds": number("Median seconds", format="%.1f"),
            "agreement": number("Agreement", format="%.2f", help="With all others, on pairs"),
            "agreement_n": number("of pairs"),
            "last_at": st.column_config.DatetimeColumn("Last judgment", format="YYYY-MM-DD HH:mm"),
        },
    )
