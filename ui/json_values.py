"""Figures as what JSON can hold."""

import dataclasses
import math
from datetime import datetime
from typing import Any

import pandas

from labeling.statistics.figure import Figure


def plain(value: Any) -> Any:
    """Return `value` as what JSON can hold: tables as lists of rows, times as text, NaN as null."""
    if isinstance(value, pandas.DataFrame):
        return plain(value.to_dict("records"))
    if isinstance(value, Figure):
        return {name: plain(each) for name, each in vars(value).items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
