"""Criteria in the annotator's language: a ready set is translated, a lead's own words are not."""

from collections.abc import Iterable
from typing import Any

from labeling.judging.criteria import READY_SETS
from labeling.labeling_sections import Criterion
from ui.languages import Words

_READY = {criterion.name: criterion for chosen in READY_SETS.values() for criterion in chosen}


def shown_criteria(criteria: Iterable[Criterion], words: Words) -> list[dict[str, Any]]:
    """Return what the ranking component draws: `name` (as it is stored), kind, title, question.

    A criterion that a lead wrote, or whose question a lead changed, is shown as the lead wrote it.
    """
    return [_shown(criterion, words) for criterion in criteria]


def _shown(criterion: Criterion, words: Words) -> dict[str, Any]:
    key = f"criterion.{criterion.name}"
    ready = _READY.get(criterion.name)
    as_ready = ready is not None and ready.question == criterion.question
    return {
        "name": criterion.name,
        "kind": criterion.kind,
        "title": words.texts.get(key, criterion.name) if ready is not None else criterion.name,
        "question": words.say(f"{key}.question") if as_ready else criterion.question,
    }
