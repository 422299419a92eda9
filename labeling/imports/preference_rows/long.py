"""The long shape, one row a label: `task_id`, `annotator_id`, `item`, `label` (PandaLM's).

`item` names the columns of the two answers (`response1|response2`), `label` is 1, 2 or tie. Prompt
and answers are in the same row, or in a file of texts by `task_id`, `idx` or `id`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labeling.imports.preference_rows.fields import (
    PROMPT_FACTS,
    annotator_of,
    answer,
    id_of,
    prompt_with_facts,
    rationale_of,
)
from labeling.imports.preference_rows.imported import Imported, ImportedRanking
from labeling.imports.row_files import Place, Row, RowShape, label_of, prompt_of, read_rows, text_of

_OF_LABEL = ("task_id", "annotator_id", "item", "label")
SHAPE = RowShape(things="labels", columns=(), needs=(_OF_LABEL,), lists=("messages",))
TEXTS = RowShape(things="texts", columns=(), needs=(("task_id",), ("idx",), ("id",)))
_KEYS = ("task_id", "idx", "id")
_RANKS = {"1": (1, 2), "2": (2, 1), **dict.fromkeys(("tie", "0", "3"), (1, 1))}


def read_texts(path: Path) -> dict[str, Row]:
    """Return the rows of a file of texts by their key; all of them are held in memory.

    Raises `BadInput` naming file, line and field.
    """
    return dict(read_rows(path, TEXTS, _keyed))


def _keyed(row: Row, place: Place) -> tuple[str, Row]:
    for name in _KEYS:
        if row.get(name) not in (None, ""):
            return str(row[name]), row
    raise place.bad(f"it has no {', '.join(_KEYS)}", _KEYS[0])


def read(row: Row, place: Place, texts: Mapping[str, Row] | None = None) -> Iterator[Imported]:
    """Yield the comparison that the label is of."""
    task = id_of(row, "task_id")
    given = row if texts is None else texts.get(task)
    if not task or given is None:
        raise place.bad(f"the file of texts has no task {task!r}", "task_id")
    columns = label_of(row, "item", place).split("|")
    if len(columns) != 2:
        raise place.bad(
            "it must name the columns of two answers, as in response1|response2", "item"
        )
    ranks = _RANKS.get(str(row.get("label")).strip().lower())
    if ranks is None:
        raise place.bad(f"{row.get('label')!r} is no label; use 1, 2 or tie", "label")
    answers = [_answer(given.get(name), name, place) for name in columns]
    yield ImportedRanking(
        prompt=prompt_with_facts(_facts(row, given), place, _messages(given, place)),
        completions=tuple(
            answer(text, model=model)
            for text, model in zip(answers, _models(given, columns), strict=True)
        ),
        ranks=ranks,
        annotator=annotator_of(row, place, "annotator_id", "annotator"),
        task=task,
        rationale=rationale_of(row, place),
    )


def _answer(value: object, field: str, place: Place) -> str:
    # PandaLM's file has answers that are a bare true: JSON took a text for what it looks like.
    text = str(value) if isinstance(value, bool | int | float) else value
    return text_of(text, place, field, may_be_empty=True)


def _facts(row: Row, given: Mapping[str, Any]) -> Row:
    found = {name: row.get(name) or given.get(name) for name in PROMPT_FACTS}
    return {name: value for name, value in found.items() if value}


def _messages(given: Mapping[str, Any], place: Place) -> list[dict[str, str]]:
    if given.get("prompt") is not None or given.get("messages") is not None:
        return prompt_of(dict(given), place)
    parts = [label_of(dict(given), name, place) for name in ("instruction", "input")]
    content = "\n\n".join(part for part in parts if part)
    return prompt_of({"prompt": content}, place)


def _models(given: Mapping[str, Any], columns: list[str]) -> list[str]:
    named = [str(given.get(f"{name}_model") or "") for name in columns]
    # PandaLM names both models in one field.
    both = str(given.get("cmp_key") or "").split("_")
    return both if not any(named) and len(both) == 2 else named
