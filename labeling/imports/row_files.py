"""Read rows from JSONL, CSV and Parquet files, and say which line and field does not fit."""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow
import pyarrow.parquet

from storage.errors import BadInput

Row = dict[str, Any]
Made = TypeVar("Made")

ROLES = ("system", "user", "assistant")
ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".parquet")


@dataclass(frozen=True)
class RowShape:
    """Say what is read of a file: its columns, and what the messages about it say."""

    things: str  #: what the rows are, in words
    columns: tuple[str, ...]  #: every column that is read; others are passed over
    needs: tuple[tuple[str, ...], ...]  #: sets of columns of which a CSV's header must have one
    lists: tuple[str, ...] = ("messages",)  #: columns that a CSV can only hold as JSON text
    ending: str = " Nothing was imported."  #: what every message ends with

    @property
    def wanted(self) -> str:
        """Return the columns that a row must have, in words."""
        return ", or ".join(" and ".join(names) for names in self.needs)


@dataclass(frozen=True)
class Place:
    """Name a line (or row) of a file in messages."""

    path: Path
    number: int
    shape: RowShape
    unit: str = "line"

    @property
    def words(self) -> str:
        """Return file and line in words."""
        return f"{self.path}, {self.unit} {self.number}"

    def bad(self, what: str, field: str | None = None) -> BadInput:
        """Return the error that names this line, the field and what is wrong with it."""
        where = self.words if field is None else f"{self.words}, field {field}"
        return BadInput(f"{where}: {what}.{self.shape.ending}")


def read_rows(path: Path, shape: RowShape, make: Callable[[Row, Place], Made]) -> list[Made]:
    """Return what `make` makes of every row of a JSONL(.gz), CSV or Parquet file, in order.

    Raises `BadInput` naming the file where it cannot be read or holds no rows, and file, line and
    field at the first row that does not fit.
    """
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise BadInput(f"{path}: this kind of file is unknown; use one of {', '.join(ENDINGS)}.")
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file; check the path.")
    if name.endswith(".csv"):
        rows = _csv_rows(path, shape)
    elif name.endswith(".parquet"):
        rows = _parquet_rows(path, shape)
    else:
        rows = _jsonl_rows(path, shape)
    try:
        made = [make(row, place) for place, row in rows]
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"{path}: the file cannot be read ({reason}).") from error
    except (EOFError, zlib.error) as error:
        raise BadInput(f"{path}: the file is cut short or is no gzip file ({error}).") from error
    if not made:
        raise BadInput(f"{path}: the file holds no {shape.things}.{shape.ending}")
    return made


def _text_lines(path: Path, shape: RowShape) -> Iterator[tuple[Place, str]]:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            place = Place(path, number, shape)
            try:
                yield place, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise place.bad("the text is not UTF-8") from error


def _jsonl_rows(path: Path, shape: RowShape) -> Iterator[tuple[Place, Row]]:
    for place, line in _text_lines(path, shape):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise place.bad(f"this is no valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise place.bad(f"a line must be a JSON object with a field {shape.wanted}")
        yield place, row


def _csv_rows(path: Path, shape: RowShape) -> Iterator[tuple[Place, Row]]:
    reader = csv.DictReader((line for _, line in _text_lines(path, shape)), strict=True)
    try:
        names = reader.fieldnames or []
        if names and not _has_one(shape.needs, names):
            raise Place(path, 1, shape).bad(
                f"the header has no column {shape.wanted}", shape.needs[0][0]
            )
        for row in reader:
            place = Place(path, reader.line_num, shape)
            if None in row or None in row.values():
                raise place.bad(f"the row does not have the header's {len(names)} columns")
            yield place, _csv_values(row, place)
    except csv.Error as error:
        raise Place(path, reader.line_num, shape).bad(f"this is no valid CSV ({error})") from error


def _has_one(needs: Collection[Collection[str]], names: Collection[str]) -> bool:
    return any(set(needed) <= set(names) for needed in needs)


def _csv_values(row: dict[str, str], place: Place) -> Row:
    """Read the columns that hold lists; where one of them is used, an empty column is absent."""
    lists = [name for name in place.shape.lists if row.get(name)]
    values: Row = {name: row[name] for name in row if name not in place.shape.lists}
    if not lists:
        return values
    values = {name: value or None for name, value in values.items()}
    for name in lists:
        try:
            values[name] = json.loads(row[name])
        except (json.JSONDecodeError, RecursionError) as error:
            raise place.bad(f"this is no valid JSON ({error})", name) from error
    return values


def _parquet_rows(path: Path, shape: RowShape) -> Iterator[tuple[Place, Row]]:
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in shape.columns]
            for batch in file.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield Place(path, number, shape, "row"), row
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise Place(path, number + 1, shape, "row").bad(f"this cannot be read ({error})") from error


# -- fields ----------------------------------------------------------------------------------------


def prompt_of(row: Row, place: Place) -> list[dict[str, str]]:
    """Return the messages of the field `prompt` (text or messages) or `messages`."""
    field = "prompt" if row.get("prompt") is not None else "messages"
    value = row.get(field)
    if value is None:
        raise place.bad("the prompt is missing", "prompt")
    if field == "prompt" and isinstance(value, str):
        return [{"role": "user", "content": text_of(value, place, field)}]
    if isinstance(value, list):
        return messages_of(value, place, field)
    kinds = "text or a list of messages" if field == "prompt" else "a list of messages"
    raise place.bad(f"it must be {kinds}, not {type(value).__name__}", field)


def messages_of(value: list[Any], place: Place, field: str) -> list[dict[str, str]]:
    """Return chat messages that can be answered: system only first, the user's last."""
    if not value:
        raise place.bad("the list of messages is empty", field)
    messages = []
    for index, message in enumerate(value):
        name = f"{field}[{index}]"
        if not isinstance(message, dict):
            raise place.bad("a message must have role and content", name)
        role = message.get("role")
        if role not in ROLES:
            raise place.bad(f"{role!r} is no role; use {', '.join(ROLES)}", f"{name}.role")
        if role == "system" and index > 0:
            raise place.bad("a system message can only be the first", f"{name}.role")
        content = text_of(message.get("content"), place, f"{name}.content")
        messages.append({"role": role, "content": content})
    if messages[-1]["role"] != "user":
        last = f"{field}[{len(messages) - 1}].role"
        raise place.bad("the last message must be the user's, so that it can be answered", last)
    return messages


def text_of(value: object, place: Place, field: str, *, may_be_empty: bool = False) -> str:
    """Return a field that must be text which every database can store."""
    if not isinstance(value, str):
        raise place.bad(f"it must be text, not {type(value).__name__}", field)
    if not may_be_empty and not value.strip():
        raise place.bad("the text is empty", field)
    return _storable(value, place, field)


def label_of(row: Row, field: str, place: Place) -> str:
    """Return a field that may be absent (then empty), or else must be text."""
    value = row.get(field)
    return "" if value is None else text_of(value, place, field, may_be_empty=True)


def _storable(value: str, place: Place, field: str) -> str:
    # PostgreSQL stores no NUL, and no database stores half a surrogate pair.
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise place.bad("the text has a NUL or half of a surrogate pair", field)
    return value
