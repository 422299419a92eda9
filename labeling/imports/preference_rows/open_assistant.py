"""Open-Assistant: message trees with ranked replies; or `prompt` and `options` with ranks, flat."""

from collections.abc import Iterator
from typing import Any

from labeling.imports.preference_rows.fields import (
    PROMPT_FACTS,
    answer,
    check_count,
    json_in,
    kind_in,
    list_if_any,
    name_in,
    object_in,
    prompt_with_facts,
    ranks_of,
    text_list,
)
from labeling.imports.preference_rows.imported import (
    Imported,
    ImportedAnnotator,
    ImportedCompletion,
    ImportedPrompt,
    ImportedRanking,
)
from labeling.imports.row_files import Place, Row, RowShape, messages_of, text_of

SHAPE = RowShape(
    things="trees",
    columns=("message_tree_id", "prompt", "messages", "options", *PROMPT_FACTS),
    needs=(("message_tree_id", "prompt"), ("prompt", "options")),
    lists=("messages", "options"),
    json_if_it_is=("prompt",),
)
_ROLES = {"prompter": "user", "user": "user", "assistant": "assistant", "system": "system"}
_Turns = list[dict[str, str]]


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the rankings of every message's replies: each person's, or else the merged ranks.

    Rankings of prompters' messages, and deleted messages, are passed over.
    """
    if row.get("options") is not None:
        yield _options(row, place)
        return
    root = object_in(json_in(row, "prompt", place), place, "prompt")
    waiting: list[tuple[dict[str, Any], _Turns]] = [(root, [])]
    while waiting:
        node, before = waiting.pop()
        turns = [*before, _turn(node, place)]
        replies = [one for one in _replies(node, place) if not one.get("deleted")]
        yield from _rankings(row, node, replies, turns, place)
        waiting += [(reply, turns) for reply in reversed(replies)]


def _options(row: Row, place: Place) -> ImportedRanking:
    options = [object_in(one, place, "options") for one in text_list(row, "options", place)]
    check_count(len(options), place, "options")
    ranks = [option.get("rank") for option in options]
    return ImportedRanking(
        prompt_with_facts(row, place),
        tuple(_completion(option, place, "options") for option in options),
        ranks_of(ranks, len(options), place, "options.rank"),
    )


def _turn(node: dict[str, Any], place: Place) -> dict[str, str]:
    role = _ROLES.get(str(node.get("role")))
    if role is None:
        raise place.bad(f"{node.get('role')!r} is no role of a message", "role")
    return {"role": role, "content": text_of(node.get("text"), place, "text", may_be_empty=True)}


def _replies(node: dict[str, Any], place: Place) -> list[dict[str, Any]]:
    replies = node.get("replies") or []
    if not isinstance(replies, list):
        raise place.bad("it must be a list of messages", "replies")
    return [object_in(reply, place, "replies") for reply in replies]


def _completion(given: dict[str, Any], place: Place, field: str) -> ImportedCompletion:
    text = text_of(given.get("text"), place, f"{field}.text", may_be_empty=True)
    model = given.get("model_name") or given.get("model") or ""
    return answer(text, model=str(model), key=str(given.get("message_id") or ""))


def _rankings(
    row: Row, node: dict[str, Any], replies: list[dict[str, Any]], turns: _Turns, place: Place
) -> Iterator[ImportedRanking]:
    answers = [reply for reply in replies if reply.get("role") == "assistant"]
    ranked = [reply for reply in answers if reply.get("rank") is not None]
    events = _ranking_events(node)
    if len(answers) < 2 or (not events and len(ranked) < 2):
        return
    facts = {**row, "language": row.get("language") or node.get("lang") or ""}
    prompt = prompt_with_facts(facts, place, messages_of(turns, place, "prompt"))
    task = str(node.get("message_id") or "")
    for event in events:
        yield _of_event(event, answers, prompt, task, place)
    if not events:
        check_count(len(ranked), place, "replies")
        ranks = [reply["rank"] for reply in ranked]
        yield ImportedRanking(
            prompt,
            tuple(_completion(reply, place, "replies") for reply in ranked),
            ranks_of(ranks, len(ranked), place, "replies.rank"),
            task=task,
        )


def _ranking_events(node: dict[str, Any]) -> list[dict[str, Any]]:
    events = node.get("events")
    if not isinstance(events, dict):
        return []
    lists = [value for value in events.values() if isinstance(value, list)]
    found = [one for some in lists for one in some if isinstance(one, dict)]
    return [one for one in found if one.get("type") == "ranking" and not one.get("not_rankable")]


def _of_event(
    event: dict[str, Any],
    answers: list[dict[str, Any]],
    prompt: ImportedPrompt,
    task: str,
    place: Place,
) -> ImportedRanking:
    """Return the ranking of one person, whose event names the replies from best to worst."""
    by_id = {str(reply.get("message_id")): reply for reply in answers}
    field = "events.ranked_message_ids"
    named = [str(one) for one in list_if_any(event.get("ranked_message_ids"), place, field)]
    if len(set(named)) != len(named) or not set(named) <= set(by_id):
        raise place.bad("it names messages that are no replies", field)
    check_count(len(named), place, field)
    places = {one: rank for rank, one in enumerate(named, start=1)}
    ranked = [reply for key, reply in by_id.items() if key in places]
    ranks: list[Any] = [places[str(reply.get("message_id"))] for reply in ranked]
    # Open-Assistant's own rankings have no ties: Rankloop's export adds the ranks that do.
    own = event.get("ranks")
    if isinstance(own, list) and len(own) == len(answers) == len(ranked):
        ranks = own
    name = event.get("user_id")
    kind = kind_in(event.get("annotator_kind"), place, "events.annotator_kind")
    return ImportedRanking(
        prompt,
        tuple(_completion(reply, place, "replies") for reply in ranked),
        ranks_of(ranks, len(ranked), place, "events.ranks"),
        annotator=ImportedAnnotator(
            name_in(name, place, "events.user_id") if name not in (None, "") else "", kind
        ),
        task=task,
    )
