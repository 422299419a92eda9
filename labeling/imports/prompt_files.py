"""Read prompts from JSONL, CSV and Parquet files, or say which line does not fit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labeling.imports.row_files import (
    Place,
    Progress,
    Row,
    RowShape,
    each_row,
    label_of,
    language_of,
    prompt_of,
    read_rows,
    tags_of,
)

PROMPTS = RowShape(
    things="prompts",
    columns=("prompt", "messages", "source", "license", "tags", "language"),
    needs=(("prompt",), ("messages",)),
)


@dataclass(frozen=True)
class NewPrompt:
    """Hold one prompt of a file: chat messages, and where they come from."""

    messages: list[dict[str, str]]
    source: str
    license: str
    where: str = ""  #: file and line, in words
    tags: tuple[str, ...] = ()
    language: str = ""


def read_prompts(
    path: Path, shape: RowShape = PROMPTS, progress: Progress = lambda what, share: None
) -> list[NewPrompt]:
    """Return every prompt of the file, in order.

    A row has `prompt` (text or messages) or `messages`, and may have `source`, `license`,
    `tags` (a list, or text with commas) and `language`. `progress` is as `read_rows` takes it.
    Raises `BadInput` naming file, line and field at the first row that does not fit.
    """
    return read_rows(path, shape, _prompt, progress)


def each_prompt(path: Path, progress: Progress = lambda what, share: None) -> Iterator[NewPrompt]:
    """Yield every prompt of the file, in bounded memory; all else is as `read_prompts` has it."""
    return each_row(path, PROMPTS, _prompt, progress)


def _prompt(row: Row, place: Place) -> NewPrompt:
    return NewPrompt(
        messages=prompt_of(row, place),
        source=label_of(row, "source", place),
        license=label_of(row, "license", place),
        where=place.words,
        tags=tags_of(row, place),
        language=language_of(row, place),
    )
