"""Rows as they come from files: in bounded memory, each with its place, broken or not."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.imports import row_streams
from labeling.imports.row_shape import BadRow, RowShape
from labeling.imports.row_streams import RowStream
from storage.errors import BadInput

SHAPE = RowShape(things="rows", columns=(), needs=())


def rows(path: Path) -> list[object]:
    return [row for _, row in RowStream(path, SHAPE)]


@given(
    items=st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=30), max_size=3)),
    chunk=st.integers(1, 50),
    indent=st.sampled_from([None, 1]),
)
@settings(max_examples=60, deadline=None)
def test_a_json_list_is_read_in_pieces_of_any_size(
    items: list[dict[str, str]],
    chunk: int,
    indent: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("json") / "rows.json"
    path.write_text(json.dumps(items, indent=indent))
    before = row_streams._CHUNK
    row_streams._CHUNK = chunk
    try:
        assert rows(path) == items
    finally:
        row_streams._CHUNK = before


def test_one_json_object_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('\ufeff{"a": [1]}')
    assert rows(tmp_path / "one.json") == [{"a": [1]}]


@pytest.mark.parametrize("text", ['[{"a": 1}', '[{"a": 1}, {"b"', "nothing", '[{"a": 1} x'])
def test_a_json_list_that_is_cut_short_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(BadInput, match="no valid JSON array"):
        rows(path)


def test_a_bad_line_is_given_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n\n[1]\n\xff\n{"a": 2}\n')
    found = list(RowStream(path, SHAPE))
    bad = {place.number: row.what for place, row in found if isinstance(row, BadRow)}
    assert sorted(bad) == [2, 4, 5] and bad[5] == "the text is not UTF-8"
    assert [row for _, row in found if isinstance(row, dict)] == [{"a": 1}, {"a": 2}]
    assert found[-1][0].words == f"{path}, line 6"


def test_a_number_of_thousands_of_digits_is_a_bad_line(tmp_path: Path) -> None:
    number = "1" * 5000
    (tmp_path / "rows.jsonl").write_text(f'{{"a": {number}}}\n{{"a": 2}}\n')
    bad, good = rows(tmp_path / "rows.jsonl")
    assert isinstance(bad, BadRow) and "rows.jsonl, line 1: this is no valid JSON" in str(bad)
    assert good == {"a": 2}
    (tmp_path / "rows.csv").write_text(f'messages,prompt\n"[{number}]",\n,"[{number}]"\n')
    shape = RowShape(
        things="rows", columns=(), needs=(), lists=("messages",), json_if_it_is=("prompt",)
    )
    bad, plain = [row for _, row in RowStream(tmp_path / "rows.csv", shape)]
    assert isinstance(bad, BadRow) and "line 2, field messages" in str(bad)
    assert plain == {"prompt": f"[{number}]"}


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.zst", "rows.parquet", "rows.arrow"])
def test_a_file_that_is_cut_short_is_refused_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 50_000)[:-40])
    with pytest.raises(BadInput, match=str(path)):
        rows(path)


def test_the_share_that_was_read_rises_to_all(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt") as file:
        for number in range(20_000):
            file.write(json.dumps({"a": hash((number, "x"))}) + "\n")
    stream = RowStream(path, SHAPE)
    shares = [stream.share for _ in stream]
    assert shares == sorted(shares) and shares[0] < 0.5 and shares[-1] == 1.0


def test_an_unknown_ending_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="this kind of file is unknown"):
        RowStream(tmp_path / "rows.xls", SHAPE)
    with pytest.raises(BadInput, match="there is no such file"):
        RowStream(tmp_path / "rows.jsonl", SHAPE)
