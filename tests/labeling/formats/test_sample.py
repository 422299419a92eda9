"""The row that is shown of each format is one that the format could have written."""

import json
from pathlib import Path

import pytest

from labeling.datasets.row_writers import ColumnWriter, open_parquet
from labeling.formats.registry import FORMATS
from labeling.formats.sample import sample_row


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_a_row_of_its_own_columns(name: str, tmp_path: Path) -> None:
    shape = FORMATS[name]
    row = sample_row(shape)
    assert set(row) == set(shape.schema.names)
    writer = ColumnWriter(open_parquet, tmp_path / "row.parquet", shape.schema, rows_at_once=1)
    writer.write(row)
    writer.close()
    assert "sky" in json.dumps(row, default=str)


def test_the_preferred_answer_is_the_chosen_one() -> None:
    row = sample_row(FORMATS["trl_preference"])
    assert "scatters" in row["chosen"][0]["content"] and "sea" in row["rejected"][0]["content"]
    assert row["strength"] == 3
