"""Read prompts from JSONL, CSV and Parquet files, or say which line does not fit."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from storage.errors import BadInput

ROLES = ("system", "user", "assistant")
ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".parquet")


@dataclass(frozen=True)
class NewPrompt:
    """Hold one prompt of a file: chat messages, and where they come from."""

    messages: list[dict[str, str]]
    source: str
    license: str


@dataclass(frozen=True)
class _Place:
    """Name a line (or row) of a file in messages."""

    path: Path
    number: int
    unit: str = "line"

    def bad(self, what: str, field: str | None = None) -> BadInput:
        where = f"{self.path}, {self.unit} {self.number}"
        if field is not None:
            where += f", field {field}"
        return BadInput(f"{where}: {what}. Nothing was imported.")


def read_prompts(path: Path) -> list[NewPrompt]:
    """Return every prompt of the file, in order.

    A row has `prompt` (text or messages) or `messages`, and may have `source` and `license`.
    Raises `BadInput` naming file, line and field at the first row that does not fit.
    """
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise BadInput(f"{path}: this kind of file is unknown; use one of {', '.join(ENDINGS)}.")
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file; check the path.")
    if name.endswith(".csv"):
        rows = _csv_rows(path)
    elif name.endswith(".parquet"):
        rows = _parquet_rows(path)
    else:
        rows = _jsonl_rows(path)
    try:
        prompts = [_prompt_of(row, place) for place, row in rows]
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"{path}: the file cannot be read ({reason}).") from error
    except (EOFError, zlib.error) as error:
        raise BadInput(f"{path}: the file is cut short or is no gzip file ({error}).") from error
    if not prompts:
        raise BadInput(f"{path}: the file holds no prompts. Nothing was imported.")
    return prompts


def _text_lines(path: Path) -> Iterator[tuple[_Place, str]]:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            place = _Place(path, number)
            try:
                yield place, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise place.bad("the text is not UTF-8") from error


def _jsonl_rows(path: Path) -> Iterator[tuple[_Place, dict[str, Any]]]:
    for place, line in _text_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise place.bad(f"this is no valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise place.bad("a line must be a JSON object with a field prompt or messages")
        yield place, row


def _csv_rows(path: Path) -> Iterator[tuple[_Place, dict[str, Any]]]:
    reader = csv.DictReader((line for _, line in _text_lines(path)), strict=True)
    try:
        names = reader.fieldnames or []
        if names and not {"prompt", "messages"} & set(names):
            raise _Place(path, 1).bad("the header has no column prompt or messages", "prompt")
        for row in reader:
            place = _Place(path, reader.line_num)
            if None in row or None in row.values():
                raise place.bad(f"the row does not have the header's {len(names)} columns")
            yield place, _csv_values(row, place)
    except csv.Error as error:
        raise _Place(path, reader.line_num).bad(f"this is no valid CSV ({error})") from error


def _csv_values(row: dict[str, str], place: _Place) -> dict[str, Any]:
    """Read the `messages` column, which CSV can only hold as JSON text."""
    if not row.get("messages"):
        return {name: value for name, value in row.items() if name != "messages"}
    try:
        messages = json.loads(row["messages"])
    except json.JSONDecodeError as error:
        raise place.bad(f"this is no valid JSON ({error})", "messages") from error
    # An empty column of a CSV is an absent one.
    return {**row, "messages": messages, "prompt": row.get("prompt") or None}


def _parquet_rows(path: Path) -> Iterator[tuple[_Place, dict[str, Any]]]:
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            wanted = {"prompt", "messages", "source", "license"}
            columns = [name for name in file.schema_arrow.names if name in wanted]
            for batch in file.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield _Place(path, number, "row"), row
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise _Place(path, number + 1, "row").bad(f"this cannot be read ({error})") from error


def _prompt_of(row: dict[str, Any], place: _Place) -> NewPrompt:
    field = "prompt" if row.get("prompt") is not None else "messages"
    value = row.get(field)
    if value is None:
        raise place.bad("the prompt is missing", "prompt")
    if field == "prompt" and isinstance(value, str):
        messages = [{"role": "user", "content": _text_of(value, place, field)}]
    elif isinstance(value, list):
        messages = _messages_of(value, place, field)
    else:
        kinds = "text or a list of messages" if field == "prompt" else "a list of messages"
        raise place.bad(f"it must be {kinds}, not {type(value).__name__}", field)
    return NewPrompt(
        messages=messages,
        source=_label_of(row, "source", place),
        license=_label_of(row, "license", place),
    )


def _messages_of(value: list[Any], place: _Place, field: str) -> list[dict[str, str]]:
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
        content = _text_of(message.get("content"), place, f"{name}.content")
        messages.append({"role": role, "content": content})
    if messages[-1]["role"] != "user":
        last = f"{field}[{len(messages) - 1}].role"
        raise place.bad("the last message must be the user's, so that it can be answered", last)
    return messages


def _text_of(value: object, place: _Place, field: str) -> str:
    if not isinstance(value, str):
        raise place.bad(f"it must be text, not {type(value).__name__}", field)
    if not value.strip():
        raise place.bad("the text is empty", field)
    return _storable(value, place, field)


def _label_of(row: dict[str, Any], field: str, place: _Place) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise place.bad(f"it must be text, not {type(value).__name__}", field)
    return _storable(value, place, field)


def _storable(value: str, place: _Place, field: str) -> str:
    # PostgreSQL stores no NUL, and no database stores half a surrogate pair.
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise place.bad("the text has a NUL or half of a surrogate pair", field)
    return value
