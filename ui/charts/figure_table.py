"""The table under a chart: every figure as text, as CSV, and a way to the judgments behind it."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas
import streamlit as st

from labeling.spreadsheets import defused
from labeling.statistics.judgments_behind import Selection
from ui import page_links, session
from ui.charts.shares import whole_percents

PAGE = "all-judgments"


def figure_table(
    table: pandas.DataFrame,
    *,
    key: str,
    columns: dict[str, Any] | None = None,
    hidden: Sequence[str] = (),
    behind: Callable[[dict[str, Any]], Selection] | None = None,
) -> None:
    """Draw a table with its CSV; `behind` gives, for a row, which judgments its figures rest on.

    Choosing a row opens them. `hidden` columns are in the CSV and for `behind` alone; `key` is
    unique on the page and names the file. Shares are shown in whole percents, exact in the CSV.
    """
    shown = [name for name in table.columns if name not in hidden]
    drawn: dict[str, Any] = {
        "hide_index": True, "column_order": shown, "column_config": columns, "placeholder": "–",
    }  # fmt: skip
    seen = whole_percents(table, columns)
    if behind is None:
        st.dataframe(seen, key=f"table-{key}", **drawn)
    else:
        st.dataframe(
            seen, key=f"table-{key}", on_select="rerun", selection_mode="single-row", **drawn
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        csv_button(table, key)
        if behind is not None:
            st.caption("Choose a row to see the judgments behind it.")
    if behind is not None and (chosen := _chosen(f"table-{key}")) is not None:
        open_behind(behind(table.iloc[chosen].to_dict()))


def csv_button(table: pandas.DataFrame, name: str) -> None:
    """Draw a button that gives the table as the file `name`.csv, made when it is pressed."""
    st.download_button(
        "CSV", lambda: csv_of(table), f"{name}.csv", "text/csv", key=f"csv-{name}",
        on_click="ignore", icon=":material/download:", help=session.words().say("rounds.as_file"),
    )  # fmt: skip


def open_behind(selection: Selection) -> None:
    """Go to the page of the judgments that fit `selection`."""
    page_links.go(PAGE, selection.query())


def link_behind(label: str, selection: Selection) -> None:
    """Draw a link to the judgments that fit `selection`."""
    page_links.link(PAGE, label, selection.query())


def csv_of(table: pandas.DataFrame) -> bytes:
    """Return a table as CSV (UTF-8), its text cells such that no spreadsheet runs one."""
    return table.map(_safe).rename(columns=_safe).to_csv(index=False).encode()


def _safe(cell: object) -> object:
    return defused(cell) if isinstance(cell, str) else cell


def _chosen(key: str) -> int | None:
    state = st.session_state.get(key)
    rows = state["selection"]["rows"] if state else []
    return int(rows[0]) if rows else None
