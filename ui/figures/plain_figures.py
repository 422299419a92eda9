"""Figures as plain values and arrays, and back: what a file of them may hold, and nothing else.

Reading runs no code of the file's: it makes numbers, texts, lists, mappings, tables and the few
dataclasses that are named here.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from labeling.model_annotators.model_quality import ModelFigures
from labeling.statistics.annotator_reliability import AnnotatorReliability
from labeling.statistics.figure import Figure
from labeling.statistics.quality import Quality
from labeling.statistics.throughput import WorkByHour
from labeling.statistics.where_it_hurts import WhereItHurts

Arrays = list[npt.NDArray[Any]]

_CLASSES: dict[str, type[Any]] = {
    one.__name__: one
    for one in (
        AnnotatorReliability, Figure, ModelFigures, Quality, WhereItHurts, WorkByHour,
    )
}  # fmt: skip
# numbers, truth values and times
_AS_ARRAYS = "iufbM"


def to_plain(value: Any, arrays: Arrays) -> Any:
    """Return what JSON can hold of `value`; columns of numbers and times are added to `arrays`.

    Raises `TypeError` where there is something in it that `from_plain` would not give back.
    """
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if isfinite(value) else {"float": repr(value)}
    if type(value) in (list, tuple):
        return {type(value).__name__: [to_plain(one, arrays) for one in value]}
    if isinstance(value, Mapping):
        return {"pairs": [[to_plain(one, arrays) for one in pair] for pair in value.items()]}
    if isinstance(value, pd.Timestamp):
        return {"timestamp": value.isoformat()}
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, pd.DataFrame):
        return {"table": _plain_table(value, arrays)}
    if is_dataclass(value) and _CLASSES.get(type(value).__name__) is type(value):
        named = {one.name: to_plain(getattr(value, one.name), arrays) for one in fields(value)}
        return {"made": [type(value).__name__, named]}
    raise TypeError(f"a {type(value).__name__} is kept in no file")


def from_plain(plain: Any, arrays: Arrays) -> Any:
    """Return what `to_plain` was given; raise `ValueError`, `KeyError` … where it was not."""
    if not isinstance(plain, dict):
        return plain
    ((kind, of),) = plain.items()
    return _BACK[kind](of, arrays)


def _plain_table(table: pd.DataFrame, arrays: Arrays) -> dict[str, Any]:
    return {
        "names": _plain_index(table.columns, arrays),
        "index": _plain_index(table.index, arrays),
        "columns": [_plain_column(table.iloc[:, place], arrays) for place in range(table.shape[1])],
    }


def _plain_index(index: pd.Index, arrays: Arrays) -> dict[str, Any]:
    if isinstance(index, pd.MultiIndex):
        raise TypeError("an index of several levels is kept in no file")
    name = to_plain(index.name, arrays)
    if isinstance(index, pd.RangeIndex):
        return {"name": name, "range": [index.start, index.stop, index.step]}
    return {"name": name, "column": _plain_column(index.to_series(), arrays)}


def _plain_column(column: "pd.Series[Any]", arrays: Arrays) -> dict[str, Any]:
    kind, zone = column.dtype, ""
    if isinstance(kind, pd.DatetimeTZDtype):
        zone, column = str(kind.tz), column.dt.tz_convert(None)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in _AS_ARRAYS:
        arrays.append(column.to_numpy())
        return {"array": len(arrays) - 1, "zone": zone}
    if str(kind) != "object" and not isinstance(kind, pd.StringDtype):
        raise TypeError(f"a column of {kind} is kept in no file")
    return {"kind": str(kind), "values": [to_plain(one, arrays) for one in column]}


def _table(plain: dict[str, Any], arrays: Arrays) -> pd.DataFrame:
    index, names = _index(plain["index"], arrays), _index(plain["names"], arrays)
    columns = [_column(one, arrays).set_axis(index) for one in plain["columns"]]
    table = pd.DataFrame(dict(enumerate(columns)), index=index)
    table.columns = names
    return table


def _index(plain: dict[str, Any], arrays: Arrays) -> pd.Index:
    name = from_plain(plain["name"], arrays)
    if "range" in plain:
        return pd.RangeIndex(*plain["range"], name=name)
    return pd.Index(_column(plain["column"], arrays), name=name)


def _column(plain: dict[str, Any], arrays: Arrays) -> "pd.Series[Any]":
    if "values" in plain:
        values = [from_plain(one, arrays) for one in plain["values"]]
        return pd.Series(values, dtype=plain["kind"])
    column = pd.Series(arrays[plain["array"]])
    if plain["zone"]:
        return column.dt.tz_localize("UTC").dt.tz_convert(plain["zone"])
    return column


def _made(of: list[Any], arrays: Arrays) -> Any:
    name, named = of
    values = {field: from_plain(value, arrays) for field, value in named.items()}
    return _CLASSES[name](**values)


_BACK: dict[str, Callable[[Any, Arrays], Any]] = {
    "float": lambda of, _: float(of),
    "list": lambda of, arrays: [from_plain(one, arrays) for one in of],
    "tuple": lambda of, arrays: tuple(from_plain(one, arrays) for one in of),
    "pairs": lambda of, arrays: {
        from_plain(name, arrays): from_plain(one, arrays) for name, one in of
    },
    "timestamp": lambda of, _: pd.Timestamp(of),
    "datetime": lambda of, _: datetime.fromisoformat(of),
    "table": _table,
    "made": _made,
}
