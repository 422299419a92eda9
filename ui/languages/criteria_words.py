"""Criteria and flags in the annotator's language: ready ones; a lead's own words stay."""

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


def said_criterion(name: str, words: Words) -> str:
    """Return what a criterion is called; a lead's own name as it was written."""
    return words.texts.get(f"criterion.{name}", name) if name in _READY else name


def said_flag(flag: str, words: Words) -> str:
    """Return what a flag is called; a lead's own word as it was written."""
    return words.texts.get(f"flag.{flag}", flag)


def _shown(criterion: Criterion, words: Words) -> dict[str, Any]:
    key = f"criterion.{criterion.name}"
    ready = _READY.get(criterion.name)
    as_ready = ready is not None and ready.question == criterion.question
    return {
        "name": criterion.name,
        "kind": criterion.kind,
        "title": said_criterion(criterion.name, words),
        "question": words.say(f"{key}.question") if as_ready else criterion.question,
    }
