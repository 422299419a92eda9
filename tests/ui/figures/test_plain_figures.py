"""What is written of figures is what is read; what cannot be is refused before it is written."""

import json
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.statistics.figure import Figure
from storage.tables import Role
from ui.figures.plain_figures import from_plain, to_plain

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.integers() | st.text(), inner)
    ),
    max_leaves=12,
)
MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)


def back(value: Any) -> Any:
    arrays: list[Any] = []
    plain = json.dumps(to_plain(value, arrays))
    return from_plain(json.loads(plain), arrays)


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True, check_column_type=True)
        for mine, theirs in zip(one.to_numpy().ravel(), other.to_numpy().ravel(), strict=True):
            assert type(mine) is type(theirs)
    elif is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, float):
        assert repr(one) == repr(other)
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, dict):
        assert_same(list(one.items()), list(other.items()))
    else:
        assert one == other


@settings(max_examples=60)
@given(VALUES)
def test_plain_values_come_back(value: Any) -> None:
    assert_same(value, back(value))


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(),
        pd.DataFrame(columns=["a", "b"]),
        pd.DataFrame({"n": [1, 2], "x": [0.1, float("nan")], "yes": [True, False]}),
        pd.DataFrame({"x": np.array([1, 2], np.int8), "t": pd.to_datetime([MOMENT, None])}),
        pd.DataFrame({"t": pd.to_datetime(["2026-01-01", None])}),
        pd.DataFrame({"name": ["=1+1", "<b>", None], "or none": [1.5, None, 2]}, dtype=object),
        pd.DataFrame({"name": ["a", "b"], "tasks": [[1, 2], []], "when": [MOMENT, None]}),
        pd.DataFrame({"x": [1.0, 2.0]}, index=pd.Index([7, 9], name="annotator_id")),
        pd.DataFrame([[1, 2]], columns=pd.Index([3, 4], name="of")),
        pd.DataFrame({"x": [1, 2, 3]}).iloc[::2],
    ],
)
def test_tables_come_back_to_the_type_of_each_value(table: pd.DataFrame) -> None:
    assert_same(table, back(table))


def test_figures_come_back() -> None:
    assert_same(Figure(0.5, 3, "pairs", 0.25, None), back(Figure(0.5, 3, "pairs", 0.25, None)))


@dataclass
class Stranger:
    value: int


@pytest.mark.parametrize(
    "value",
    [
        Stranger(1),
        Role.LEAD,
        object(),
        b"bytes",
        pd.DataFrame({"a": pd.Categorical(["x"])}),
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])),
    ],
)
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="in no file"):
        to_plain(value, [])


def test_a_file_cannot_name_a_class_of_its_own() -> None:
    for name in ("Stranger", "os.system", "Popen"):
        with pytest.raises(KeyError):
            from_plain({"made": [name, {}]}, [])
