"""The types of exported files: how each is called, opened, and finished."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow

from labeling.datasets.row_writers import (
    ColumnWriter,
    CsvWriter,
    JsonLinesWriter,
    JsonListWriter,
    RowWriter,
    open_arrow,
    open_parquet,
)
from labeling.formats.example import EXPORT_SPLITS
from storage.errors import BadInput

_Open = Callable[[Path, pyarrow.Schema, int], RowWriter]


@dataclass(frozen=True)
class FileType:
    """A type of file: the end of its name, what people are told, and how it is opened."""

    name: str
    help: str
    open: _Open


def _json_lines(compression: str | None) -> _Open:
    return lambda path, _schema, _rows: JsonLinesWriter(path, compression)


def _json_list(path: Path, _schema: pyarrow.Schema, _rows: int) -> RowWriter:
    return JsonListWriter(path)


def _csv(path: Path, schema: pyarrow.Schema, _rows: int) -> RowWriter:
    return CsvWriter(path, schema)


def _parquet(path: Path, schema: pyarrow.Schema, rows: int) -> RowWriter:
    return ColumnWriter(open_parquet, path, schema, rows)


def _arrow(path: Path, schema: pyarrow.Schema, rows: int) -> RowWriter:
    return ColumnWriter(open_arrow, path, schema, rows)


FILE_TYPES: dict[str, FileType] = {
    each.name: each
    for each in (
        FileType("jsonl", "JSON lines", _json_lines(None)),
        FileType("jsonl.gz", "JSON lines, packed by gzip", _json_lines("gzip")),
        FileType("jsonl.zst", "JSON lines, packed by zstd", _json_lines("zstd")),
        FileType("json", "one JSON list", _json_list),
        FileType("parquet", "Parquet", _parquet),
        FileType("csv", "CSV, for people's spreadsheets", _csv),
        FileType("arrow", "a folder for datasets.load_from_disk", _arrow),
    )
}


def file_type_named(name: str) -> FileType:
    """Return a file type; raise `BadInput` naming all where there is none."""
    found = FILE_TYPES.get(name)
    if found is None:
        raise BadInput(f"There is no file type {name}; use {', '.join(FILE_TYPES)}.")
    return found


def finish_arrow(folder: Path) -> None:
    """Turn the Arrow streams in a folder into what `datasets.load_from_disk` reads."""
    import datasets
    from datasets import Dataset, DatasetDict

    streams = {split: folder / f"{split}.arrow" for split in EXPORT_SPLITS}
    there = {split: path for split, path in streams.items() if path.exists()}
    # From the file, and not through memory.
    sets = {split: Dataset.from_file(str(path)) for split, path in there.items()}
    # Its bars are drawn into pipes and logs, too.
    drawn = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        DatasetDict(sets).save_to_disk(str(folder))
    finally:
        if drawn:
            datasets.enable_progress_bars()
    for path in there.values():
        path.unlink()
