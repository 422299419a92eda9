"""TRL's preferences with an implicit prompt: `chosen` and `rejected` are whole conversations."""

from collections.abc import Iterator
from dataclasses import replace

from labeling.imports.preference_rows import trl_preference
from labeling.imports.preference_rows.chosen_and_rejected import NAMES, read_dialogues
from labeling.imports.preference_rows.imported import Imported
from labeling.imports.row_files import Place, Row

SHAPE = replace(trl_preference.SHAPE, needs=(("chosen", "rejected"),))


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the pair."""
    for name in NAMES:
        if isinstance(row.get(name), str):
            raise place.bad(
                "it must be messages; texts with Human: and Assistant: are the format hh_rlhf", name
            )
    yield read_dialogues(row, place)
