"""Rows of JSONL, JSON, CSV, Parquet and Arrow files, one after the other in bounded memory."""

import csv
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from labeling.imports.row_shape import BadRow, Place, Row, RowShape
from storage.errors import BadInput

ENDINGS = (
    *(".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz", ".json.zst"),
    *(".csv", ".csv.gz", ".csv.zst", ".parquet", ".arrow"),
)
Found = tuple[Place, Row | BadRow]
_CHUNK = 1 << 16  # characters of a JSON array read at once
_BATCH = 1024  # rows of a column file turned into Python at once
_LONGEST_LINE = (
    1 << 26
)  # bytes of a line or an item: a few packed bytes can become as many as these
_LARGEST_CELL = 1 << 24  # characters; the csv module's own bound of 131,072 is short of a dialogue


class RowStream:
    """The rows of one file; iterate once. `share` says how much of it has been read."""

    def __init__(self, path: Path, shape: RowShape) -> None:
        """Look whether it is a file of a known kind; raise `BadInput` where it is not."""
        self.path = path
        self.shape = shape
        self.name = path.name.lower()
        self._done = 0
        if not self.name.endswith(ENDINGS):
            raise BadInput(
                f"{path}: this kind of file is unknown; use one of {', '.join(ENDINGS)}."
            )
        if not path.exists():
            raise BadInput(f"{path}: there is no such file; check the path.")
        if not path.is_file():
            raise BadInput(
                f"{path}: this is no file but a folder, a pipe or a device; write the rows to a "
                "file first."
            )
        self._size = max(1, path.stat().st_size)

    @property
    def share(self) -> float:
        """Return the share of the file that has been read, 0 … 1."""
        return min(1.0, self._done / self._size)

    def __iter__(self) -> Iterator[Found]:
        """Yield each row's place and the row, or, where it cannot be read, its error.

        Raises `BadInput` where the file as a whole cannot be read to its end.
        """
        csv.field_size_limit(_LARGEST_CELL)
        try:
            yield from self._rows()
        except OSError as error:
            reason = error.strerror or str(error)
            raise BadInput(f"{self.path}: the file cannot be read ({reason}).") from error
        except (EOFError, zlib.error) as error:
            raise BadInput(
                f"{self.path}: the file is cut short or is no gzip file ({error})."
            ) from error

    def _rows(self) -> Iterator[Found]:
        if self.name.endswith(".parquet"):
            return self._parquet_rows()
        if self.name.endswith(".arrow"):
            return self._arrow_rows()
        kind = self.name.removesuffix(".gz").removesuffix(".zst")
        if kind.endswith(".csv"):
            return self._csv_rows()
        return self._json_rows() if kind.endswith(".json") else self._jsonl_rows()

    # -- text --------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with self.path.open("rb") as raw:
            counted = io.BufferedReader(_Counted(self, raw))
            if self.name.endswith(".gz"):
                with gzip.open(counted) as file:
                    yield file  # type: ignore[misc]
            elif self.name.endswith(".zst"):
                yield pyarrow.CompressedInputStream(pyarrow.PythonFile(counted, "r"), "zstd")
            else:
                yield counted

    def _lines(self) -> Iterator[tuple[Place, str | BadRow]]:
        with self._opened() as file:
            lines = io.BufferedReader(_Readable(file))
            for number in itertools.count(1):
                place = Place(self.path, number, self.shape)
                line = lines.readline(_LONGEST_LINE + 1)
                if not line:
                    return
                if len(line) > _LONGEST_LINE:
                    raise place.bad(f"the line is longer than {_LONGEST_LINE >> 20} MiB")
                try:
                    yield place, line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    yield place, place.bad("the text is not UTF-8")

    def _jsonl_rows(self) -> Iterator[Found]:
        for place, line in self._lines():
            if isinstance(line, BadRow):
                yield place, line
            elif line.strip():
                yield place, self._json_row(place, line)

    def _json_row(self, place: Place, line: str) -> Row | BadRow:
        try:
            row = json.loads(line.rstrip("\r\n"))
        except json.JSONDecodeError as error:
            # Python's own words count lines from this one: a second number of a line beside ours.
            return place.bad(f"this is no valid JSON ({error.msg} at column {error.colno})")
        # Python reads no number of thousands of digits, and says so by a plain ValueError.
        except (ValueError, RecursionError) as error:
            return place.bad(f"this is no valid JSON ({error})")
        return self._object(place, row)

    def _object(self, place: Place, row: object) -> Row | BadRow:
        if isinstance(row, dict):
            return row
        wanted = f" with a field {self.shape.wanted}" if self.shape.needs else ""
        article = "an" if place.unit[0] in "aeiou" else "a"
        return place.bad(f"{article} {place.unit} must be a JSON object{wanted}")

    def _json_rows(self) -> Iterator[Found]:
        """Yield the objects of one JSON array (Argilla's and Label Studio's exports)."""
        number = 0
        with self._opened() as file:
            text = io.TextIOWrapper(io.BufferedReader(_Readable(file)), encoding="utf-8-sig")
            try:
                for value in _array_items(text):
                    number += 1
                    place = Place(self.path, number, self.shape, "item")
                    yield place, self._object(place, value)
            except (ValueError, RecursionError) as error:
                place = Place(self.path, number + 1, self.shape, "item")
                raise place.bad(f"this is no valid JSON array ({error})") from error
            finally:
                text.detach()

    def _csv_rows(self) -> Iterator[Found]:
        reader = csv.DictReader(self._text_of_csv(), strict=True)
        try:
            names = reader.fieldnames or []
            if names and self.shape.needs and not _has_one(self.shape.needs, names):
                raise Place(self.path, 1, self.shape).bad(
                    f"the header has no column {self.shape.wanted}", self.shape.needs[0][0]
                )
            for row in reader:
                place = Place(self.path, reader.line_num, self.shape)
                yield place, self._csv_row(row, place, len(names))
        except csv.Error as error:
            # Where the row begins: a quote that is not closed goes on to the file's end.
            place = Place(self.path, reader.line_num + 1, self.shape)
            raise place.bad(f"this is no valid CSV ({error})") from error

    def _text_of_csv(self) -> Iterator[str]:
        for _, line in self._lines():
            if isinstance(line, BadRow):
                # A quoted cell may go on over lines: what follows could not be told apart.
                raise line
            yield line

    def _csv_row(self, row: dict[str, str], place: Place, columns: int) -> Row | BadRow:
        if None in row or None in row.values():
            return place.bad(f"the row does not have the header's {columns} columns")
        try:
            return _csv_values(row, place)
        except BadRow as error:
            return error

    # -- columns -----------------------------------------------------------------------------------

    def _parquet_rows(self) -> Iterator[Found]:
        number = 0
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                columns = self._wanted(file.schema_arrow.names)
                total = max(1, file.metadata.num_rows)
                for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                    for row in batch.to_pylist():
                        number += 1
                        yield Place(self.path, number, self.shape, "row"), row
                    self._done = self._size * number // total
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise self._unreadable(number + 1, error) from error

    def _arrow_rows(self) -> Iterator[Found]:
        number = 0
        try:
            with pyarrow.memory_map(str(self.path)) as source:
                reader = _arrow_reader(source)
                for batch in reader:
                    some = batch.select(self._wanted(batch.schema.names))
                    for start in range(0, some.num_rows, _BATCH):
                        for row in some.slice(start, _BATCH).to_pylist():
                            number += 1
                            yield Place(self.path, number, self.shape, "row"), row
                    self._done = source.tell()
        except (pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise self._unreadable(number + 1, error) from error

    def _wanted(self, names: Collection[str]) -> list[str]:
        return [name for name in names if not self.shape.columns or name in self.shape.columns]

    def _unreadable(self, number: int, error: Exception) -> BadRow:
        place = Place(self.path, number, self.shape, "row")
        return place.bad(f"this cannot be read ({error})")


class _Counted(io.RawIOBase):
    """A file that tells its stream how far it has been read."""

    def __init__(self, stream: RowStream, file: IO[bytes]) -> None:
        self._stream = stream
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._stream._done += len(data)
        return len(data)


class _Readable(io.RawIOBase):
    """What has only `read`, as a raw file that can be buffered and read by lines."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _arrow_reader(source: pyarrow.MemoryMappedFile) -> Iterator[pyarrow.RecordBatch]:
    """Return the batches of an Arrow stream (as `datasets` writes) or of an Arrow file."""
    try:
        return iter(pyarrow.ipc.open_stream(source))
    except pyarrow.ArrowInvalid:
        source.seek(0)
        file = pyarrow.ipc.open_file(source)
        return (file.get_batch(index) for index in range(file.num_record_batches))


def _array_items(text: IO[str]) -> Iterator[Any]:
    """Yield the items of a JSON array (a single object counts as one), a piece at a time."""
    decoder = json.JSONDecoder()
    buffer = text.read(_CHUNK).lstrip()
    if buffer[:1] == "{":
        whole_text = buffer + text.read(_LONGEST_LINE)
        if len(whole_text) > _LONGEST_LINE:
            raise ValueError(f"it is longer than {_LONGEST_LINE >> 20} MiB")
        yield json.loads(whole_text)
        return
    if buffer[:1] != "[":
        raise ValueError("it does not begin with [ or {")
    buffer, wants = buffer[1:], _CHUNK
    while True:
        buffer = buffer.lstrip(" \t\r\n,")
        if buffer[:1] == "]":
            return
        try:
            value, end = decoder.raw_decode(buffer)
            # A number may go on in what has not been read; items here are objects.
            whole = end < len(buffer)
        except json.JSONDecodeError:
            whole = False
        if whole:
            yield value
            buffer, wants = buffer[end:], _CHUNK
            continue
        if len(buffer) > _LONGEST_LINE:
            raise ValueError(f"an item in it is longer than {_LONGEST_LINE >> 20} MiB")
        more = text.read(wants)
        if not more:
            raise ValueError("it is cut short, or an item in it is no JSON")
        # Twice as much each time: a large item is not decoded from its start over and over.
        buffer, wants = buffer + more, wants * 2


def _has_one(needs: Collection[Collection[str]], names: Collection[str]) -> bool:
    return any(set(needed) <= set(names) for needed in needs)


def _csv_values(row: dict[str, str], place: Place) -> Row:
    """Read the columns that hold lists; where one of them is used, an empty column is absent."""
    shape = place.shape
    lists = [name for name in shape.lists if row.get(name)]
    values: Row = {name: row[name] for name in row if name not in shape.lists}
    for name in shape.json_if_it_is:
        if values.get(name, "")[:1] in ("[", "{"):
            values[name] = _messages_or_text(values[name])
    if not lists:
        return values
    values = {name: value or None for name, value in values.items()}
    for name in lists:
        try:
            values[name] = json.loads(row[name])
        except (ValueError, RecursionError) as error:
            raise place.bad(f"this is no valid JSON ({error})", name) from error
    return values


def _messages_or_text(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    items = value if isinstance(value, list) else [value]
    messages = items and all(isinstance(one, dict) and "content" in one for one in items)
    return value if messages else text
