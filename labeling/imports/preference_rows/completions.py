"""Completions from elsewhere, to be ranked here: one a row, or all of a prompt's."""

from collections.abc import Iterator

from labeling.imports.preference_rows.fields import (
    PROMPT_FACTS,
    answer,
    dialogue_of,
    prompt_with_facts,
    text_list,
)
from labeling.imports.preference_rows.imported import Imported, ImportedAnswer, ImportedCompletion
from labeling.imports.row_files import Place, Row, RowShape, label_of, text_of

SHAPE = RowShape(
    things="completions",
    columns=("prompt", "messages", "completion", "completions", "model", "models", *PROMPT_FACTS),
    needs=(
        ("prompt", "completion"),
        ("messages", "completion"),
        ("prompt", "completions"),
        ("messages", "completions"),
    ),
    lists=("messages", "completions", "models"),
    json_if_it_is=("prompt", "completion"),
)


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield each completion of the row."""
    prompt = prompt_with_facts(row, place)
    for one in _completions(row, place):
        yield ImportedAnswer(prompt, one)


def _completions(row: Row, place: Place) -> list[ImportedCompletion]:
    model = label_of(row, "model", place)
    if row.get("completions") is None:
        before, text = dialogue_of(row, "completion", place)
        if before:
            raise place.bad("it must be one message of the assistant", "completion")
        return [answer(text_of(text, place, "completion"), model=model)]
    given = text_list(row, "completions", place)
    models = row.get("models") or [model] * len(given)
    if not given or not isinstance(models, list) or len(models) != len(given):
        raise place.bad(f"it must be a list of {len(given)} names", "models")
    found = []
    for index, (one, name) in enumerate(zip(given, models, strict=True)):
        field = f"completions[{index}]"
        if isinstance(one, dict):
            found.append(_named(one, str(name or ""), place, field))
        else:
            found.append(answer(text_of(one, place, field), model=str(name or "")))
    return found


def _named(one: Row, model: str, place: Place, field: str) -> ImportedCompletion:
    text = text_of(one.get("text"), place, f"{field}.text")
    return answer(text, model=label_of(one, "model", place) or model)
