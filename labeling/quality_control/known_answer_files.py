"""Read tasks with known answers from JSONL, CSV and Parquet files.

A row has `prompt` (text or messages) or `messages`, `completions` (a list of texts), `ranks` (a
list of whole numbers, 1 is best, equal is a tie), and may have `explanation` and `set` (`gold` or
`qualification`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeling.imports.row_files import (
    Place,
    Progress,
    Row,
    RowShape,
    label_of,
    prompt_of,
    read_rows,
    text_of,
)
from labeling.judging.rankings import validate_ranks
from labeling.quality_control.known_answers import LONGEST_EXPLANATION
from storage.errors import BadInput
from storage.tables import TaskKind

KNOWN_ANSWERS = RowShape(
    things="known answers",
    columns=("prompt", "messages", "completions", "ranks", "explanation", "set"),
    needs=(("prompt", "completions", "ranks"), ("messages", "completions", "ranks")),
    lists=("messages", "completions", "ranks"),
)
SETS = {kind.value: kind for kind in (TaskKind.GOLD, TaskKind.QUALIFICATION)}
MOST_COMPLETIONS = 9


@dataclass(frozen=True)
class NewKnownAnswer:
    """Hold one task of a file; `kind` is None where the row does not name its set."""

    messages: list[dict[str, str]]
    completions: list[str]
    ranks: list[int]  #: dense, 1 is best, equal ranks are a tie
    explanation: str
    kind: TaskKind | None


@dataclass(frozen=True)
class KnownAnswerFile:
    """Hold the tasks of the file called `name`, in order."""

    name: str
    tasks: list[NewKnownAnswer]


def read_known_answers(
    path: Path, progress: Progress = lambda what, share: None
) -> KnownAnswerFile:
    """Return the tasks of a file; no database is needed, and nothing waits for it.

    `progress` is as `read_rows` takes it. Raises `BadInput` naming file, line and
    field at the first row that does not fit.
    """
    return KnownAnswerFile(path.name, read_rows(path, KNOWN_ANSWERS, _known_answer, progress))


def _known_answer(row: Row, place: Place) -> NewKnownAnswer:
    messages = prompt_of(row, place)
    completions = [
        text_of(text, place, f"completions[{index}]")
        for index, text in enumerate(_list(row, "completions", place))
    ]
    if not 2 <= len(completions) <= MOST_COMPLETIONS:
        raise place.bad(f"there must be 2 to {MOST_COMPLETIONS} completions", "completions")
    named = label_of(row, "set", place).strip().lower()
    if named and named not in SETS:
        raise place.bad(f"{named!r} is no set; use {' or '.join(SETS)}", "set")
    return NewKnownAnswer(
        messages=messages,
        completions=completions,
        ranks=_ranks(_list(row, "ranks", place), len(completions), place),
        explanation=_explanation(row, place),
        kind=SETS.get(named),
    )


def _explanation(row: Row, place: Place) -> str:
    text = label_of(row, "explanation", place).strip()
    if len(text) > LONGEST_EXPLANATION:
        raise place.bad(f"it has {len(text):,} characters; {LONGEST_EXPLANATION:,} at most",
                        "explanation")  # fmt: skip
    return text


def _ranks(values: list[Any], k: int, place: Place) -> list[int]:
    # Parquet gives the numbers of a column with gaps as floats.
    whole = [int(one) if isinstance(one, float) and one.is_integer() else one for one in values]
    try:
        return validate_ranks(whole, k)
    except BadInput as error:
        raise place.bad(str(error).rstrip("."), "ranks") from error


def _list(row: Row, name: str, place: Place) -> list[Any]:
    value = row.get(name)
    if value is None:
        raise place.bad("it is missing", name)
    if not isinstance(value, list):
        raise place.bad("it must be a list", name)
    return value
