"""Argilla's records: fields, and responses to a ranking question (`[{value, rank}]`)."""

from collections.abc import Iterator
from typing import Any

from labeling.imports.preference_rows.fields import (
    PROMPT_FACTS,
    answer,
    check_count,
    json_in,
    kind_in,
    name_in,
    object_if_any,
    object_in,
    prompt_with_facts,
    ranks_of,
)
from labeling.imports.preference_rows.imported import (
    Imported,
    ImportedAnnotator,
    ImportedCompletion,
    ImportedRanking,
)
from labeling.imports.row_files import Place, Row, RowShape, prompt_of, text_of

_PARTS = ("fields", "responses", "metadata", "suggestions")
SHAPE = RowShape(
    things="records",
    columns=("id", *_PARTS, *PROMPT_FACTS),
    needs=(("fields", "responses"),),
    lists=_PARTS,
)
_PROMPTS = ("prompt", "messages", "instruction", "question", "input", "conversation", "chat")
_SUBMITTED = (None, "submitted")


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield each annotator's ranking; where there is none, the suggested one."""
    fields = object_in(json_in(row, "fields", place), place, "fields")
    facts = object_if_any(json_in(row, "metadata", place), place, "metadata")
    found = list(_responses(row, facts, place)) or list(_suggestion(row, place))
    for ranked, who in found:
        names = [str(one.get("value")) for one in ranked]
        prompt = prompt_with_facts({**facts, **row}, place, _prompt(fields, names, place))
        yield ImportedRanking(
            prompt,
            _completions(fields, names, facts, place),
            ranks_of([one.get("rank") for one in ranked], len(ranked), place, "responses.rank"),
            annotator=who,
            task=str(row.get("id") or ""),
        )


_Found = tuple[list[dict[str, Any]], ImportedAnnotator]


def _responses(row: Row, facts: dict[str, Any], place: Place) -> Iterator[_Found]:
    responses = json_in(row, "responses", place) or {}
    for given in object_in(responses, place, "responses").values():
        values = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        for index, one in enumerate(values):
            ranked = _ranked(one.get("value"))
            if ranked and one.get("status") in _SUBMITTED:
                yield ranked, _who(one, index, facts, place)


def _suggestion(row: Row, place: Place) -> Iterator[_Found]:
    for given in (json_in(row, "suggestions", place) or {}).values():
        one = object_in(given, place, "suggestions")
        if ranked := _ranked(one.get("value")):
            yield ranked, ImportedAnnotator(str(one.get("agent") or ""))


def _ranked(value: object) -> list[dict[str, Any]]:
    """Return the answer to a ranking question; [] where it is one to another question."""
    items = value if isinstance(value, list) else []
    fits = items and all(isinstance(one, dict) and {"value", "rank"} <= set(one) for one in items)
    return items if fits else []


def _who(one: dict[str, Any], index: int, facts: dict[str, Any], place: Place) -> Any:
    # Rankloop's export keeps the pseudonyms beside the UUIDs that Argilla wants.
    names, kinds = facts.get("annotators"), facts.get("annotator_kinds")
    name = names[index] if isinstance(names, list) and index < len(names) else one.get("user_id")
    kind = kinds[index] if isinstance(kinds, list) and index < len(kinds) else None
    named = "" if name in (None, "") else name_in(name, place, "responses.user_id")
    return ImportedAnnotator(named, kind_in(kind, place, "metadata.annotator_kinds"))


def _prompt(fields: dict[str, Any], names: list[str], place: Place) -> list[dict[str, str]]:
    others = [name for name in fields if name not in names]
    named = [name for name in _PROMPTS if name in others] or others[:1]
    if not named:
        raise place.bad("there is no field that is the prompt", "fields")
    return prompt_of({"prompt": fields[named[0]]}, place)


def _completions(
    fields: dict[str, Any], names: list[str], facts: dict[str, Any], place: Place
) -> tuple[ImportedCompletion, ...]:
    check_count(len(names), place, "responses.value")
    order = [name for name in fields if name in names]
    found = []
    for name in names:
        text = text_of(fields.get(name), place, f"fields.{name}", may_be_empty=True)
        at = order.index(name)
        model = _at(facts.get("policies"), at) or _policy(_at(facts.get("policy_versions"), at))
        found.append(answer(text, model=model, key=_at(facts.get("completion_ids"), at)))
    return tuple(found)


def _at(values: object, index: int) -> str:
    fits = isinstance(values, list) and index < len(values) and values[index] is not None
    return str(values[index]) if fits else ""  # type: ignore[index]


def _policy(version: str) -> str:
    return f"policy-{version}" if version else ""
