"""Shares in the leads' tables: whole percents, as in every card, chart and sentence of the pages.

A second decimal of a share of a few hundred judgments is noise; the CSV of each table has it exact.
"""

from collections.abc import Mapping
from typing import Any

import pandas
import streamlit as st

FORMAT = "percent"  # of Streamlit: it writes up to two decimals, of those that the number has


def share(label: str | None = None, *, help: str | None = None) -> Any:
    """Return the settings of a column of shares, 0 … 1."""
    return st.column_config.NumberColumn(label, format=FORMAT, help=help)


def whole_percents(table: pandas.DataFrame, columns: Mapping[str, Any] | None) -> pandas.DataFrame:
    """Return the table as it is shown: columns that are set as shares to whole percents."""
    shares = [
        name
        for name, column in (columns or {}).items()
        if isinstance(column, dict) and column.get("type_config", {}).get("format") == FORMAT
    ]
    there = [name for name in shares if name in table.columns]
    return table.assign(**{name: table[name].astype(float).round(2) for name in there})
