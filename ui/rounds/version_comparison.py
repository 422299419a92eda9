"""Two versions chosen by the lead, side by side: figures, people's opinion, samples."""

from typing import Any

import pandas
import streamlit as st

from labeling.keys import key_of
from labeling.loop_state import LoopState
from labeling.versions_compared import SideBySide, VersionsCompared, compare_versions
from storage.tables import Account
from ui import process
from ui.charts.figure_table import csv_button
from ui.plain_text import plain
from ui.rounds.policy_table import win_words
from ui.rounds.round_report import FIGURES, figure_words

MOST_SAMPLES = 6


def show(account: Account, loop: LoopState) -> None:
    """Draw a choice of two published versions and what is known of them."""
    published = [one["version"] for one in loop.policies if one["status"] in ("live", "retired")]
    if len(published) < 2:
        return
    st.subheader("Compare two versions")
    with st.container(horizontal=True):
        first = st.selectbox("Version", published, len(published) - 2, key="compare-1", width=160)
        second = st.selectbox("with", published, len(published) - 1, key="compare-2", width=160)
    if first == second:
        st.info("Choose two versions that differ.")
        return
    with process.reading() as rows:
        found = compare_versions(
            rows, project_id=key_of(process.project()), account=account, loop=loop,
            first=first, second=second, most=MOST_SAMPLES,
        )  # fmt: skip
    if found.wins is not None:
        st.text(f"People: version {max(first, second)} {win_words(found.wins)}.")
    _figures(found)
    for sample in found.samples:
        _sample(sample, found)
    if not found.samples:
        st.text("There is no prompt that both have answered.")


def figures_of(found: VersionsCompared) -> pandas.DataFrame:
    """Return one row a figure that was measured of either, one column a version."""
    measured = [figures or {} for figures in found.figures]
    rows: dict[str, list[Any]] = {
        title: [figure_words(one.get(name), form) for one in measured]
        for name, (title, form) in FIGURES.items()
        if any(name in one for one in measured)
    }
    titles = [
        f"Version {version}" if number is None else f"Version {version} (round {number})"
        for version, number in zip((found.first, found.second), found.rounds, strict=True)
    ]
    table = pandas.DataFrame.from_dict(rows, orient="index", columns=titles)
    table.index.name = "Figure"
    return table


def _figures(found: VersionsCompared) -> None:
    table = figures_of(found)
    if table.empty:
        st.text("No round has measured either of them.")
        return
    st.caption(
        "As measured by the round named, on held-out prompts, with 95 % intervals. Scores of two "
        "rounds are of two reward models: they cannot be compared."
    )
    st.table(table)
    csv_button(table.reset_index(), f"versions-{found.first}-{found.second}")


def _sample(sample: SideBySide, found: VersionsCompared) -> None:
    with st.container(border=True):
        st.caption(f"Prompt ({sample.place})")
        st.text(sample.prompt)
        answers = ((found.first, sample.first), (found.second, sample.second))
        for column, (version, text) in zip(st.columns(2), answers, strict=True):
            column.caption(plain(f"Version {version}"))
            column.text(text)
