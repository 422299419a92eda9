"""Files of rows, written as the rows come: JSON lines, a JSON list, CSV, Parquet, Arrow."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow
import pyarrow.parquet

from labeling.spreadsheets import defused

Row = dict[str, Any]

_AS_JSON = msgspec.json.Encoder().encode


class RowWriter(Protocol):
    """A file that takes rows one by one."""

    def write(self, row: Row) -> None:
        """Add a row."""

    def close(self) -> None:
        """Finish the file."""


class JsonLinesWriter:
    """One JSON object a line, plain or compressed (`gzip`, `zstd`)."""

    def __init__(self, path: Path, compression: str | None = None) -> None:
        """Open the file."""
        self._file = pyarrow.output_stream(path, compression=compression, buffer_size=1 << 20)

    def write(self, row: Row) -> None:
        """Add a line."""
        self._file.write(_AS_JSON(row) + b"\n")

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class JsonListWriter:
    """One JSON list of all rows."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self._file = pyarrow.output_stream(path, compression=None, buffer_size=1 << 20)
        self._before = b"[\n"

    def write(self, row: Row) -> None:
        """Add an object."""
        self._file.write(self._before + _AS_JSON(row))
        self._before = b",\n"

    def close(self) -> None:
        """End the list and the file."""
        self._file.write(b"\n]\n" if self._before == b",\n" else b"[]\n")
        self._file.close()


class CsvWriter:
    """A table for people's spreadsheets: what is nested is JSON text, formulas are defused."""

    def __init__(self, path: Path, schema: pyarrow.Schema) -> None:
        """Open the file and write its header."""
        self._names = schema.names
        self._file = path.open("w", encoding="utf-8", newline="", buffering=1 << 20)
        self._writer = csv.writer(self._file)
        self._writer.writerow(self._names)

    def write(self, row: Row) -> None:
        """Add a line."""
        self._writer.writerow([_cell(row[name]) for name in self._names])

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class ColumnWriter:
    """Parquet, or an Arrow stream: rows are held until there are enough for a batch."""

    def __init__(
        self,
        open_file: Callable[[Path, pyarrow.Schema], Any],
        path: Path,
        schema: pyarrow.Schema,
        rows_at_once: int,
    ) -> None:
        """Open the file with `open_file`."""
        self._file = open_file(path, schema)
        self._schema = schema
        self._texts = [field.name for field in schema if pyarrow.types.is_string(field.type)]
        self._held: list[Row] = []
        self._rows_at_once = rows_at_once

    def write(self, row: Row) -> None:
        """Add a row."""
        for name in self._texts:
            value = row[name]
            if value is not None and not isinstance(value, str):
                row = {**row, name: _AS_JSON(value).decode()}
        self._held.append(row)
        if len(self._held) >= self._rows_at_once:
            self._flush()

    def close(self) -> None:
        """Write what is held and finish the file."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._held:
            self._file.write(pyarrow.RecordBatch.from_pylist(self._held, schema=self._schema))
            self._held = []


def open_parquet(path: Path, schema: pyarrow.Schema) -> Any:
    """Return a Parquet file that takes record batches."""
    return pyarrow.parquet.ParquetWriter(path, schema, compression="zstd")


def open_arrow(path: Path, schema: pyarrow.Schema) -> Any:
    """Return an Arrow stream that takes record batches."""
    return pyarrow.ipc.new_stream(str(path), schema)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return defused(value if isinstance(value, str) else _AS_JSON(value).decode())
