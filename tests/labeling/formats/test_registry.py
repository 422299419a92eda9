"""What holds for every format."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from labeling.datasets.row_writers import ColumnWriter, open_parquet
from labeling.formats.field_words import field_words
from labeling.formats.registry import FORMATS, Format, format_named
from storage.errors import BadInput
from tests.labeling.formats.judged_example import JUDGED, LABEL, PAIR, WRITTEN

EVERY = pytest.mark.parametrize("shape", FORMATS.values(), ids=FORMATS)
EXAMPLES = (JUDGED, replace(JUDGED, consolidated=LABEL), PAIR)


@EVERY
def test_rows_have_the_columns_of_the_schema_and_are_json(shape: Format) -> None:
    examples = (WRITTEN,) if shape.unit == "demonstration" else EXAMPLES
    for example in examples:
        rows = list(shape.rows(example))
        assert rows
        for row in rows:
            assert set(row) == set(shape.schema.names)
            assert json.loads(json.dumps(row)) == row


@EVERY
def test_every_row_says_what_it_is_of(shape: Format) -> None:
    example = WRITTEN if shape.unit == "demonstration" else JUDGED
    for row in shape.rows(example):
        text = json.dumps(row)
        assert "snapshot-3-abc" in text and "weight" in text
        if shape.unit == "prompt":
            continue
        assert "annotator-" in text
        if shape.unit != "demonstration":
            assert all(f'"{name}"' in text for name in ("prompt_id", "policy_version", "round"))


@EVERY
def test_the_schema_holds_the_rows(shape: Format, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    writer = ColumnWriter(open_parquet, path, shape.schema, rows_at_once=2)
    rows = list(shape.rows(WRITTEN if shape.unit == "demonstration" else JUDGED))
    for row in rows:
        writer.write(row)
    writer.close()
    found = pyarrow.parquet.read_table(path).to_pylist()
    assert len(found) == len(rows)
    texts = {field.name for field in shape.schema if pyarrow.types.is_string(field.type)}
    for row, read in zip(rows, found, strict=True):
        for name, value in row.items():
            nested = name in texts and value is not None and not isinstance(value, str)
            assert (json.loads(read[name]) if nested else read[name]) == value


@EVERY
def test_every_field_is_described(shape: Format) -> None:
    assert all(field_words(shape, name) for name in shape.schema.names)


def test_names_and_the_old_one() -> None:
    assert format_named("trl").name == "trl_preference"
    with pytest.raises(BadInput, match="no format csv; use trl_preference, trl_implicit"):
        format_named("csv")
