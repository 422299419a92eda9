"""OpenAI's preference fine-tuning: `input`, `preferred_output` and `non_preferred_output`."""

from collections.abc import Iterator
from typing import Any

from labeling.imports.preference_rows.chosen_and_rejected import pair_of
from labeling.imports.preference_rows.fields import (
    PROMPT_FACTS,
    dialogue_of,
    json_in,
    object_if_any,
    object_in,
)
from labeling.imports.preference_rows.imported import Imported
from labeling.imports.row_files import Place, Row, RowShape, messages_of

_OUTPUTS = ("preferred_output", "non_preferred_output")
SHAPE = RowShape(
    things="preferences",
    columns=("input", *_OUTPUTS, "metadata", *PROMPT_FACTS),
    needs=(("input", *_OUTPUTS),),
    lists=("input", *_OUTPUTS, "metadata"),
)


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the pair; tools are passed over, and a conversation with their messages is refused."""
    given = object_in(json_in(row, "input", place), place, "input")
    messages = given.get("messages")
    if not isinstance(messages, list):
        raise place.bad("it must be a list of messages", "input.messages")
    outputs: dict[str, Any] = {name: json_in(row, name, place) for name in _OUTPUTS}
    texts = []
    for name in _OUTPUTS:
        before, text = dialogue_of(outputs, name, place)
        if before:
            raise place.bad("it must be one message of the assistant", name)
        texts.append(text)
    yield pair_of(
        row,
        place,
        messages_of(messages, place, "input.messages"),
        texts[0],
        texts[1],
        object_if_any(json_in(row, "metadata", place), place, "metadata"),
    )
