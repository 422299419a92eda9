"""Read rows from files that people bring, and say which line and field does not fit."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from labeling.imports.row_shape import BadRow, Place, Row, RowShape
from labeling.imports.row_streams import ENDINGS, RowStream
from storage.errors import BadInput
from storage.storable import is_storable

__all__ = ["ENDINGS", "ROLES", "BadRow", "Place", "Row", "RowShape", "each_row", "read_rows"]

Made = TypeVar("Made")
Progress = Callable[[str, float], None]

ROLES = ("system", "user", "assistant")
LONGEST_TAG = 100
LONGEST_LANGUAGE = 35
_NO_LANGUAGE = (
    "it must be a tag of a language such as en, zh-Hans or pt_BR, or its name: at most "
    f"{LONGEST_LANGUAGE} letters and digits, with blanks, hyphens or the like between"
)
#: beside letters, the marks on them and digits: datasets have "Scots Gaelic" and "English (US)"
_WITHIN_LANGUAGES = frozenset("-_ .,;/+()'")
TOLD_EVERY = 500  #: rows between two words of progress


def read_rows(
    path: Path,
    shape: RowShape,
    make: Callable[[Row, Place], Made],
    progress: Progress = lambda what, share: None,
) -> list[Made]:
    """Return what `make` makes of every row of a JSONL, JSON, CSV or Parquet file, in order.

    `progress` and what is raised are as `each_row` has them.
    """
    return list(each_row(path, shape, make, progress))


def each_row(
    path: Path,
    shape: RowShape,
    make: Callable[[Row, Place], Made],
    progress: Progress = lambda what, share: None,
) -> Iterator[Made]:
    """Yield what `make` makes of every row of a file, in order and in bounded memory.

    `progress` is told what is read and the share of the file that was (0 … 1). Raises `BadInput`
    naming the file where it cannot be read or holds no rows, and file, line and field at the first
    row that does not fit.
    """
    stream, rows = RowStream(path, shape), 0
    for place, row in stream:
        if isinstance(row, BadRow):
            raise row
        yield make(row, place)
        rows += 1
        if rows % TOLD_EVERY == 0:
            progress(f"Reading {path.name}", stream.share)
    if not rows:
        raise BadInput(f"{path}: the file holds no {shape.things}.{shape.ending}")
    if rows >= TOLD_EVERY:
        progress(f"Reading {path.name}", 1.0)


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


def tags_of(row: Row, place: Place) -> tuple[str, ...]:
    """Return the field `tags`: a list of texts, or one text with commas; () where it is absent."""
    value = row.get("tags")
    if value is None:
        return ()
    values = value.split(",") if isinstance(value, str) else value
    if not isinstance(values, list):
        raise place.bad("it must be a list of texts", "tags")
    return _each_once(text_of(one, place, "tags", may_be_empty=True) for one in values)


def valid_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return each tag once, without blanks around it and cut where too long, but no empty one.

    Raises `BadInput` where one holds characters that cannot be seen.
    """
    found = _each_once(tags)
    for tag in found:
        if not tag.isprintable():
            raise BadInput(f"The tag {tag!r} cannot be used: it must have printable characters.")
    return found


def _each_once(tags: Iterable[str]) -> tuple[str, ...]:
    found = (tag.strip()[:LONGEST_TAG] for tag in tags)
    return tuple(dict.fromkeys(tag for tag in found if tag))


def language_of(row: Row, place: Place) -> str:
    """Return the field `language` (a BCP 47 tag such as en or zh-Hans), or ""."""
    try:
        return valid_language(label_of(row, "language", place))
    except BadInput as error:
        raise place.bad(_NO_LANGUAGE, "language") from error


def valid_language(language: str) -> str:
    """Return a tag or name of a language, or ""; raise `BadInput` where it cannot be one."""
    language = language.strip()
    if len(language) > LONGEST_LANGUAGE or not _may_be_language(language):
        raise BadInput(f"The language cannot be used: {_NO_LANGUAGE}.")
    return language


def _may_be_language(text: str) -> bool:
    if text and not text[0].isalnum():
        return False
    return all(one in _WITHIN_LANGUAGES or unicodedata.category(one)[0] in "LMN" for one in text)


def _storable(value: str, place: Place, field: str) -> str:
    # PostgreSQL stores no NUL, and no database stores half a surrogate pair.
    if not is_storable(value):
        raise place.bad("the text has a NUL or half of a surrogate pair", field)
    return value
