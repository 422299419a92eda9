"""The judgments behind a figure: conditions, a page of them as a table, one of them in full."""

import pandas
import streamlit as st

from labeling.judging.rankings import order_in_words
from labeling.review.reviews import LETTERS
from labeling.statistics.judgment_columns import JudgmentColumns
from labeling.statistics.judgments_behind import JudgmentBehind, Selection
from storage.plurals import form
from ui import page_links
from ui.charts.figure_table import csv_button
from ui.plain_text import plain

PAGE_SIZE = 25
ANY = "any"
#: conditions that have no field of their own, in words
_WORDS = {
    "task": "of task {}", "guideline": "under version {} of the guidelines",
    "since": "since {} UTC", "until": "before {} UTC", "shared": "of tasks judged by two or more",
    "fast": "marked as too fast", "arena": "that compare two versions blind",
    "models": "of models",
}  # fmt: skip


def choose(columns: JudgmentColumns, selection: Selection, imported: dict[int, str]) -> Selection:
    """Draw the conditions and a way to change them; return those that hold.

    `imported` has the names of the policies of imported completions, by version.
    """
    names = {str(one): str(name) for one, name in columns.annotators["name"].items()}
    versions = sorted({int(one) for one in pandas.unique(columns.policy_version)})
    options: dict[str, tuple[str, dict[str, str]]] = {
        "annotator": ("Annotator", names),
        "other": ("Also judged by", names),
        "version": ("Policy version", {str(one): imported.get(one, str(one)) for one in versions}),
        "tag": ("Prompt tag", {one: one for one in sorted(columns.tags["tag"].unique())}),
        "language": ("Language", {one: one for one in columns.languages if one}),
    }
    query = selection.query()
    offered = {name: each for name, each in options.items() if each[1] or name in query}
    if not offered:
        return selection
    for place, (name, (label, words)) in zip(
        st.columns(len(offered)), offered.items(), strict=True
    ):
        key = f"behind-{name}-{sorted(query.items())}"
        values = [ANY, *words]
        place.selectbox(
            label, values, values.index(query[name]) if query.get(name) in words else 0, key=key,
            format_func={ANY: ANY, **words}.__getitem__, on_change=_changed, args=(name, key),
        )  # fmt: skip
    said = [_WORDS[name].format(query[name]) for name in _WORDS if name in query]
    if said:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"Only judgments {', '.join(said)}.")
            st.button("Show all judgments", on_click=st.query_params.clear)
    return selection


def page(total: int, selection: Selection) -> int:
    """Draw where in the judgments this page is; return how many come before it."""
    pages = max(1, -(-total // PAGE_SIZE))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        noun = form(total, "judgment", "judgments")
        st.markdown(f"**{total:,}** {noun}, newest first", width="stretch")
        if pages == 1:
            return 0
        at = st.number_input(
            f"Page of {pages:,}", 1, pages, key=f"behind-page-{sorted(selection.query().items())}",
            width=140,
        )  # fmt: skip
    return (int(at) - 1) * PAGE_SIZE


def show(found: list[JudgmentBehind]) -> None:
    """Draw a page of judgments and, below, the one that is chosen, with its texts."""
    table = pandas.DataFrame([_row(one) for one in found])
    columns = {
        "when": st.column_config.DatetimeColumn("When (UTC)", format="YYYY-MM-DD HH:mm"),
        "seconds": st.column_config.NumberColumn("Seconds", format="%.1f"),
    }
    event = st.dataframe(
        table, hide_index=True, key="behind", on_select="rerun", selection_mode="single-row",
        selection_default={"selection": {"rows": [0]}}, column_config=columns, placeholder="–",
    )  # fmt: skip
    csv_button(table, "judgments")
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(found):
        _whole(found[chosen[0]])


def _row(one: JudgmentBehind) -> dict[str, object]:
    texts = {f"Completion {LETTERS[at]}": text for at, text in enumerate(one.completions)}
    others = [f"{name}: {order_in_words(ranks, LETTERS)}" for name, ranks in one.others]
    return {
        "when": one.created_at,
        "Annotator": one.annotator,
        "Order": order_in_words(one.ranks, LETTERS),
        "Others": "; ".join(others),
        "Prompt": one.messages[-1]["content"],
        **texts,
        "seconds": one.seconds,
        "Version": one.policy_version,
        "Task": one.task_id,
    }


def _whole(one: JudgmentBehind) -> None:
    with st.container(border=True):
        st.caption("Prompt")
        for message in one.messages:
            if len(one.messages) > 1:
                st.caption(plain(message["role"].capitalize()))
            st.text(message["content"])
    given = [(one.annotator, one.ranks), *one.others]
    k = len(one.completions)
    a_row = 3 if k in (3, 5, 6, 9) else 2
    for start in range(0, k, a_row):
        places = range(start, min(start + a_row, k))
        for place, position in zip(st.columns(a_row), places, strict=False):
            with place.container(border=True, height="stretch"):
                st.markdown(f"**{LETTERS[position]}**")
                with st.container(key=f"review-text-{position}", height="stretch"):
                    st.text(one.completions[position])
                said = " · ".join(f"{name}: rank {ranks[position]}" for name, ranks in given)
                st.caption(plain(said))
    page_links.link("review", f"Task {one.task_id} on the page Review", {"task": str(one.task_id)})


def _changed(name: str, key: str) -> None:
    value = st.session_state[key]
    if value == ANY:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = value
