"""Whole rankings: all completions of a prompt, with everybody's ranks, or one list of ranks."""

from collections.abc import Iterator
from typing import Any

from labeling.imports.preference_rows.fields import (
    PROMPT_FACTS,
    annotator_of,
    answer,
    check_count,
    id_of,
    json_in,
    list_if_any,
    milliseconds_of,
    object_in,
    prompt_with_facts,
    ranks_of,
    rationale_of,
    strength_of,
    text_list,
    whole_in,
)
from labeling.imports.preference_rows.imported import (
    Imported,
    ImportedAnnotator,
    ImportedCompletion,
    ImportedPrompt,
    ImportedRanking,
)
from labeling.imports.row_files import Place, Row, RowShape, label_of, text_of

_LISTS = ("completions", "rankings", "consolidated", "ranks", "models", "flags")
SHAPE = RowShape(
    things="rankings",
    columns=(
        *("prompt", "messages", "task_id", "annotator", "annotator_id", "annotator_kind"),
        *("strength", "rationale", "milliseconds", *_LISTS, *PROMPT_FACTS),
    ),
    needs=(("completions", "ranks"), ("completions", "rankings")),
    lists=("messages", *_LISTS),
    json_if_it_is=("prompt",),
)


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield each annotator's ranking; where there is none, the consolidated one."""
    prompt, completions = prompt_with_facts(row, place), _completions(row, place)
    task = id_of(row, "task_id")
    if row.get("ranks") is not None:
        yield _ranking({**row}, place, prompt, completions, task)
        return
    rankings = list_if_any(row.get("rankings"), place, "rankings")
    for index, one in enumerate(rankings):
        given = object_in(one, place, f"rankings[{index}]")
        yield _ranking(given, place, prompt, completions, task)
    if not rankings:
        label = object_in(json_in(row, "consolidated", place), place, "rankings")
        yield ImportedRanking(
            prompt,
            completions,
            ranks_of(
                list_if_any(label.get("ranks"), place, "consolidated.ranks"),
                len(completions),
                place,
                "consolidated.ranks",
            ),
            annotator=ImportedAnnotator(label_of(label, "rule", place)),
            task=task,
        )


def _completions(row: Row, place: Place) -> tuple[ImportedCompletion, ...]:
    given = text_list(row, "completions", place)
    check_count(len(given), place, "completions")
    models = row.get("models") or [""] * len(given)
    if not isinstance(models, list) or len(models) != len(given):
        raise place.bad(f"it must be a list of {len(given)} names", "models")
    return tuple(
        _completion(one, str(model or ""), place, f"completions[{index}]")
        for index, (one, model) in enumerate(zip(given, models, strict=True))
    )


def _completion(one: object, model: str, place: Place, field: str) -> ImportedCompletion:
    if isinstance(one, str):
        return answer(text_of(one, place, field, may_be_empty=True), model=model)
    given = object_in(one, place, field)
    version = given.get("policy_version")
    named = label_of(given, "policy", place) or label_of(given, "model", place)
    return ImportedCompletion(
        text_of(given.get("text"), place, f"{field}.text", may_be_empty=True),
        model=(named or _policy(version) or model)[:200],
        id=id_of(given, "id"),
        finish_reason=str(given.get("finish_reason") or "stop")[:16],
    )


def _policy(version: object) -> str:
    return "" if version is None else f"policy-{version}"


def _ranking(
    given: dict[str, Any],
    place: Place,
    prompt: ImportedPrompt,
    completions: tuple[ImportedCompletion, ...],
    task: str,
) -> ImportedRanking:
    count = len(completions)
    ranks = ranks_of(text_list(given, "ranks", place), count, place, "ranks")
    flags = list_if_any(given.get("flags"), place, "flags")
    return ImportedRanking(
        prompt,
        completions,
        ranks,
        annotator=annotator_of(given, place, "annotator", "annotator_id"),
        task=task,
        strength=strength_of(given, ranks, place),
        likert=_likert(given, count, place),
        checks=_checks(given, count, place),
        flags=tuple(text_of(one, place, "flags")[:100] for one in flags),
        rationale=rationale_of(given, place),
        milliseconds=milliseconds_of(given.get("milliseconds"), place, "milliseconds"),
    )


def _criteria(given: dict[str, Any], field: str, count: int, place: Place) -> dict[str, list[Any]]:
    found = {}
    for one in list_if_any(given.get(field), place, field):
        name = text_of(object_in(one, place, field).get("criterion"), place, f"{field}.criterion")
        answers = one.get("answers")
        if not isinstance(answers, list) or len(answers) != count:
            raise place.bad(f"it must have {count} answers, one a completion", f"{field}.answers")
        found[name[:100]] = answers
    return found


def _likert(given: dict[str, Any], count: int, place: Place) -> dict[str, list[int | None]]:
    found = {}
    for name, answers in _criteria(given, "likert", count, place).items():
        found[name] = [whole_in(one, place, "likert.answers") for one in answers]
        if any(one is not None and not 1 <= one <= 7 for one in found[name]):
            raise place.bad("an answer is a whole number from 1 to 7", "likert.answers")
    return found


def _checks(given: dict[str, Any], count: int, place: Place) -> dict[str, list[bool | None]]:
    found = _criteria(given, "checks", count, place)
    if any(one not in (True, False, None) for answers in found.values() for one in answers):
        raise place.bad("an answer is true or false", "checks.answers")
    return found
