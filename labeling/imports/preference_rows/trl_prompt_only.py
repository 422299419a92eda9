"""TRL's prompts alone: `prompt` as text or messages."""

from collections.abc import Iterator

from labeling.imports.preference_rows.fields import PROMPT_FACTS, prompt_with_facts
from labeling.imports.preference_rows.imported import Imported
from labeling.imports.row_files import Place, Row, RowShape

SHAPE = RowShape(
    things="prompts",
    columns=("prompt", "messages", *PROMPT_FACTS),
    needs=(("prompt",), ("messages",)),
    json_if_it_is=("prompt",),
)


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the prompt."""
    yield prompt_with_facts(row, place)
