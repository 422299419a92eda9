"""UltraFeedback, binarized: `prompt` (text), `chosen` and `rejected` as whole conversations."""

from collections.abc import Iterator
from dataclasses import replace

from labeling.imports.preference_rows import trl_preference
from labeling.imports.preference_rows.chosen_and_rejected import read_dialogues
from labeling.imports.preference_rows.imported import Imported
from labeling.imports.row_files import Place, Row

SHAPE = replace(trl_preference.SHAPE, needs=(("chosen", "rejected"),))


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the pair; the scores, which are of models and not ranks, are passed over."""
    yield read_dialogues(row, place)
