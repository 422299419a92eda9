"""TRL's prompts with a completion: demonstrations, answers to imitate."""

from collections.abc import Iterator

from labeling.imports.demonstration_files import completion_of
from labeling.imports.preference_rows.fields import (
    PROMPT_FACTS,
    annotator_of,
    prompt_with_facts,
)
from labeling.imports.preference_rows.imported import Imported, ImportedDemonstration
from labeling.imports.row_files import Place, Row, RowShape
from labeling.judging.demonstrations import LONGEST_TEXT

SHAPE = RowShape(
    things="demonstrations",
    columns=(
        *("prompt", "messages", "completion", "annotator", "annotator_id", "annotator_kind"),
        *PROMPT_FACTS,
    ),
    needs=(("prompt", "completion"), ("messages", "completion")),
    json_if_it_is=("prompt", "completion"),
)


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the demonstration."""
    text = completion_of(row, place)
    if text is None:
        raise place.bad("the completion is missing", "completion")
    if len(text) > LONGEST_TEXT:
        raise place.bad(
            f"the text has {len(text)} characters; {LONGEST_TEXT} are the most", "completion"
        )
    who = annotator_of(row, place, "annotator", "annotator_id")
    yield ImportedDemonstration(prompt_with_facts(row, place), text, who)
