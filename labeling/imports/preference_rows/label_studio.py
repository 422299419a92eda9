"""Label Studio's JSON: tasks with a list of answers, and annotations with a ranker's result."""

from collections.abc import Iterator
from typing import Any

from labeling.imports.preference_rows.fields import (
    PROMPT_FACTS,
    answer,
    check_count,
    json_in,
    kind_in,
    list_if_any,
    milliseconds_of,
    name_in,
    object_in,
    prompt_with_facts,
    ranks_of,
    strength_of,
)
from labeling.imports.preference_rows.imported import (
    Imported,
    ImportedAnnotator,
    ImportedCompletion,
    ImportedPrompt,
    ImportedRanking,
)
from labeling.imports.row_files import Place, Row, RowShape, prompt_of, text_of

_PARTS = ("data", "annotations", "predictions", "meta")
SHAPE = RowShape(
    things="tasks",
    columns=("id", *_PARTS, *PROMPT_FACTS),
    needs=(("data", "annotations"),),
    lists=_PARTS,
)
_PROMPTS = ("prompt", "messages", "instruction", "question", "text", "input")
_TEXTS = ("body", "text", "html", "title")
#: digits; a bucket of more is no rank of anybody's, and Python refuses to read thousands
LONGEST_RANK = 18


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield each annotator's ranking; where there is none, the prediction."""
    data = object_in(json_in(row, "data", place), place, "data")
    facts = json_in(row, "meta", place)
    facts = facts if isinstance(facts, dict) else {}
    given = [one for one in _objects(row, "annotations", place) if not one.get("was_cancelled")]
    predicted = _objects(row, "predictions", place)
    ranked = [(one, value) for one in given or predicted for value in _rankers(one, place)]
    if not ranked:
        return
    prompt = prompt_with_facts({**facts, **row}, place, _prompt(data, place))
    completions = _completions(data, place)
    for one, value in ranked:
        yield _ranking(one, value, prompt, completions, str(row.get("id") or ""), place)


def _objects(row: Row, name: str, place: Place) -> list[dict[str, Any]]:
    found = list_if_any(json_in(row, name, place), place, name)
    return [one for one in found if isinstance(one, dict)]


def _rankers(annotation: dict[str, Any], place: Place) -> Iterator[Any]:
    for result in list_if_any(annotation.get("result"), place, "result"):
        if isinstance(result, dict) and result.get("type") == "ranker":
            value = result.get("value")
            yield value.get("ranker") if isinstance(value, dict) else None


def _prompt(data: dict[str, Any], place: Place) -> list[dict[str, str]]:
    for name in _PROMPTS:
        if data.get(name):
            return prompt_of({"prompt": data[name]}, place)
    raise place.bad(f"there is no prompt; use one of {', '.join(_PROMPTS)}", "data")


def _completions(data: dict[str, Any], place: Place) -> dict[str, ImportedCompletion]:
    """Return the items of the list that the ranker shows, by their ids."""
    for field, value in data.items():
        items = value if isinstance(value, list) else []
        if items and all(isinstance(one, dict) and "id" in one for one in items):
            check_count(len(items), place, f"data.{field}")
            return {str(one["id"]): _completion(one, place, f"data.{field}") for one in items}
    raise place.bad("there is no list of items with ids", "data")


def _completion(item: dict[str, Any], place: Place, field: str) -> ImportedCompletion:
    name = next((name for name in _TEXTS if item.get(name) is not None), "body")
    text = text_of(item.get(name), place, f"{field}.{name}", may_be_empty=True)
    version = item.get("policy_version")
    model = item.get("policy") or item.get("model") or (version is not None and f"policy-{version}")
    return answer(text, model=str(model or ""), key=str(item["id"]))


def _ranking(
    annotation: dict[str, Any],
    value: object,
    prompt: ImportedPrompt,
    completions: dict[str, ImportedCompletion],
    task: str,
    place: Place,
) -> ImportedRanking:
    places = _places(value, place)
    if set(places) != set(completions):
        raise place.bad("it does not rank each item of the list once", "value.ranker")
    ranks = ranks_of([places[key] for key in completions], len(completions), place, "value.ranker")
    return ImportedRanking(
        prompt,
        tuple(completions.values()),
        ranks,
        annotator=_who(annotation, place),
        task=task,
        strength=strength_of(annotation, ranks, place),
        milliseconds=_milliseconds(annotation.get("lead_time"), place),
    )


def _milliseconds(seconds: object, place: Place) -> int:
    if not isinstance(seconds, int | float):
        return 0
    try:
        taken = round(float(seconds) * 1000)
    except (ValueError, OverflowError):
        raise place.bad(f"{seconds!r:.40} is no time in seconds", "lead_time") from None
    return milliseconds_of(taken, place, "lead_time")


def _places(value: object, place: Place) -> dict[str, int]:
    """Return the rank of each item of a list, best first, or of buckets named by ranks."""
    if isinstance(value, dict) and set(value) == {"_"}:
        value = value["_"]
    if isinstance(value, list):
        found = [(str(key), rank) for rank, key in enumerate(value, start=1)]
    elif isinstance(value, dict) and all(
        str(name).isdecimal() and len(str(name)) <= LONGEST_RANK for name in value
    ):
        buckets = {
            int(name): list_if_any(keys, place, f"value.ranker.{name}")
            for name, keys in value.items()
        }
        found = [(str(key), rank) for rank, keys in buckets.items() for key in keys]
    else:
        raise place.bad(
            "it must be a list of ids, best first, or buckets named 1, 2, 3 …, 1 the best",
            "value.ranker",
        )
    if len({key for key, _ in found}) != len(found):
        raise place.bad("it names an item twice", "value.ranker")
    return dict(found)


def _who(annotation: dict[str, Any], place: Place) -> ImportedAnnotator:
    kind = kind_in(annotation.get("annotator_kind"), place, "annotator_kind")
    name = annotation.get("annotator") or annotation.get("model_version")
    if name in (None, ""):
        by = annotation.get("completed_by")
        name = (by.get("email") or by.get("id")) if isinstance(by, dict) else by
    return ImportedAnnotator("" if name in (None, "") else name_in(name, place, "annotator"), kind)
