"""A chosen and a rejected answer: what TRL's, UltraFeedback's and HH-RLHF's rows have in common."""

from typing import Any

from labeling.imports.preference_rows.fields import (
    annotator_of,
    answer,
    dialogue_of,
    id_of,
    model_of,
    own_judgment,
    prompt_of_dialogues,
    prompt_with_facts,
    rationale_of,
    strength_of,
)
from labeling.imports.preference_rows.imported import ImportedRanking
from labeling.imports.row_files import Place, Row, label_of

NAMES = ("chosen", "rejected")
RANKS = (1, 2)


def read_dialogues(row: Row, place: Place, names: tuple[str, str] = NAMES) -> ImportedRanking:
    """Return the ranking of two fields that are texts, or dialogues with the answer at the end."""
    dialogues = [dialogue_of(row, name, place) for name in names]
    messages = prompt_of_dialogues(row, [head for head, _ in dialogues], place, names)
    return pair_of(row, place, messages, dialogues[0][1], dialogues[1][1])


def pair_of(
    row: Row,
    place: Place,
    messages: list[dict[str, str]],
    chosen: str,
    rejected: str,
    origin: dict[str, Any] | None = None,
) -> ImportedRanking:
    """Return the ranking of two texts; `origin` has the ids where they are not in the row."""
    from_where = row if origin is None else origin
    who = annotator_of(from_where, place, "annotator", "annotator_id")
    ids = [id_of(from_where, name) for name in ("chosen_id", "rejected_id")]
    models = [_model(row, from_where, name, place) for name in NAMES]
    return ImportedRanking(
        prompt=prompt_with_facts(row, place, messages),
        completions=tuple(
            answer(text, model=model, key=key)
            for text, model, key in zip((chosen, rejected), models, ids, strict=True)
        ),
        ranks=RANKS,
        annotator=who,
        task=id_of(from_where, "task_id"),
        judgment=own_judgment(from_where, who) if all(ids) else "",
        strength=strength_of(row, RANKS, place),
        rationale=rationale_of(row, place),
    )


def _model(row: Row, origin: dict[str, Any], name: str, place: Place) -> str:
    named = label_of(row, f"{name}_model", place) or label_of(row, f"{name}-model", place)
    return named or model_of(origin, f"{name}_policy_version")
