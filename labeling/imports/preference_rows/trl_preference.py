"""TRL's preferences: `prompt`, `chosen` and `rejected`, as texts or as lists of messages."""

from collections.abc import Iterator

from labeling.imports.preference_rows.chosen_and_rejected import read_dialogues
from labeling.imports.preference_rows.fields import PAIR_ORIGIN, PROMPT_FACTS
from labeling.imports.preference_rows.imported import Imported
from labeling.imports.row_files import Place, Row, RowShape

SHAPE = RowShape(
    things="preferences",
    columns=(
        *("prompt", "messages", "chosen", "rejected", "strength", "rationale", "annotator_id"),
        *("chosen_model", "rejected_model", "chosen-model", "rejected-model"),
        *PAIR_ORIGIN,
        *PROMPT_FACTS,
    ),
    needs=(("prompt", "chosen", "rejected"),),
    lists=("messages",),
    json_if_it_is=("prompt", "chosen", "rejected"),
)


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the pair."""
    yield read_dialogues(row, place)
