"""A field that holds what it cannot hold is refused by file, line and field, in every format."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labeling.formats.example import Example
from labeling.formats.registry import FORMATS
from labeling.imports.preference_rows.registry import READERS
from labeling.imports.row_files import Place
from storage.errors import BadInput
from tests.labeling.formats.judged_example import JUDGED, PAIR, WRITTEN

WRONG: tuple[Any, ...] = (
    *(None, True, -1, 1.5, 2**70, 10**400, float("inf"), float("nan")),
    *("", "x" * 20_000, "9" * 5000, "-1", "\x00", "\ud800"),
    *([], [None], [[]], [1, "a"], [{}], {}, {"a": 1}, {"": []}, {"1": ["1"], "2": "2"}),
)
Way = tuple[str | int, ...]


def examples(name: str) -> list[Example]:
    return [WRITTEN] if name == "trl_prompt_completion" else [JUDGED, PAIR]


def places(value: Any, before: Way = ()) -> Iterator[Way]:
    """Yield the way to every value within a row."""
    inner = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        inner = dict(enumerate(value))
    for key, one in inner.items():
        yield (*before, key)
        yield from places(one, (*before, key))


def with_value(row: Any, way: Way, value: Any) -> Any:
    changed = copy.deepcopy(row)
    at = changed
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = value
    return changed


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_whatever_stands_in_a_field_is_read_or_refused_in_a_sentence(name: str) -> None:
    reader = READERS[name]
    place = Place(Path("rows.jsonl"), 7, reader.shape)
    refused = 0
    for example in examples(name):
        row = json.loads(json.dumps(next(FORMATS[name].rows(example)), default=str))
        for way in places(row):
            for value in WRONG:
                try:
                    list(reader.read(with_value(row, way, value), place))
                except BadInput as error:
                    refused += 1
                    assert str(error).startswith("rows.jsonl, line 7"), error
                    assert len(str(error)) < 1000
                except Exception as error:
                    raise AssertionError(f"{way} = {value!r:.40}: {error!r}") from error
    assert refused > 100
