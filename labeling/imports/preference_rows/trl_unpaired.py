"""TRL's unpaired preferences: a prompt, one completion, and whether it is wanted (KTO)."""

from collections.abc import Iterator

from labeling.imports.preference_rows.fields import (
    PROMPT_FACTS,
    annotator_of,
    answer,
    dialogue_of,
    id_of,
    model_of,
    own_judgment,
    prompt_with_facts,
)
from labeling.imports.preference_rows.imported import Imported, ImportedLabel
from labeling.imports.row_files import Place, Row, RowShape

SHAPE = RowShape(
    things="labels",
    columns=(
        *("prompt", "messages", "completion", "label", "completion_id", "model"),
        *("completion_policy_version", "prompt_id", "task_id", "judgment_id", "annotator"),
        *("annotator_id", "annotator_kind", "snapshot"),
        *PROMPT_FACTS,
    ),
    needs=(("prompt", "completion", "label"),),
    lists=("messages",),
    json_if_it_is=("prompt", "completion"),
)
_WORDS = {"true": True, "1": True, "false": False, "0": False}


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the label; those of one judgment, or else of one prompt, become a ranking."""
    before, text = dialogue_of(row, "completion", place)
    if before:
        raise place.bad("it must be one message of the assistant", "completion")
    who = annotator_of(row, place, "annotator", "annotator_id")
    model = row.get("model") or model_of(row, "completion_policy_version")
    yield ImportedLabel(
        prompt=prompt_with_facts(row, place),
        completion=answer(text, model=str(model), key=id_of(row, "completion_id")),
        good=_label(row.get("label"), place),
        annotator=who,
        task=id_of(row, "task_id"),
        judgment=own_judgment(row, who),
    )


def _label(value: object, place: Place) -> bool:
    found = _WORDS.get(str(value).strip().lower())
    if found is None:
        raise place.bad(f"{value!r} is no label; use true or false", "label")
    return found
