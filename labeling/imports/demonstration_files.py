"""Read demonstrations from JSONL, CSV and Parquet files: prompts and the answers to imitate.

A row has `prompt` (text or messages) and `completion` (text, or a list of one assistant message):
TRL's prompt-completion shape; or `messages` that end in the assistant's answer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeling.imports.row_files import Place, Row, RowShape, prompt_of, read_rows, text_of

DEMONSTRATIONS = RowShape(
    things="demonstrations",
    columns=("prompt", "messages", "completion"),
    needs=(("prompt", "completion"), ("messages",)),
    ending=" Nothing was trained.",
)


@dataclass(frozen=True)
class DemonstrationText:
    """One prompt and the answer to imitate."""

    messages: list[dict[str, str]]
    text: str
    where: str  #: file and line, in words


def read_demonstrations(path: Path) -> list[DemonstrationText]:
    """Return the demonstrations of a file in order.

    Raises `BadInput` naming file, line and field at the first row that does not fit.
    """
    return read_rows(path, DEMONSTRATIONS, _demonstration)


def completion_of(row: Row, place: Place) -> str | None:
    """Return the field `completion`: text, or a list of one assistant message; None if absent."""
    value = row.get("completion")
    return None if value is None else _answer(value, "completion", place)


def _demonstration(row: Row, place: Place) -> DemonstrationText:
    text = completion_of(row, place)
    if text is not None:
        return DemonstrationText(prompt_of(row, place), text, place.words)
    messages = row.get("messages")
    if not isinstance(messages, list) or len(messages) < 2:
        raise place.bad("the completion is missing", "completion")
    *prompt, answer = messages
    text = _answer([answer], "messages", place)
    return DemonstrationText(prompt_of({"messages": prompt}, place), text, place.words)


def _answer(value: Any, field: str, place: Place) -> str:
    if not isinstance(value, list):
        return text_of(value, place, field)
    last = value[-1] if value else None
    if (
        not isinstance(last, dict)
        or last.get("role") != "assistant"
        or (field == "completion" and len(value) != 1)
    ):
        raise place.bad("the answer must be one message of the assistant", field)
    return text_of(last.get("content"), place, f"{field}.content")
