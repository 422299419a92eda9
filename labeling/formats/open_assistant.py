"""Open-Assistant's message trees: the conversation, and the completions as ranked replies."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import JSON_TEXT, task_origin
from labeling.formats.example import Answer, Example, Ranking

HELP = "one message tree a task, the completions as ranked replies, as Open-Assistant exports them"
UNIT = "task"
SCHEMA = pyarrow.schema(
    [
        ("message_tree_id", pyarrow.string()),
        ("tree_state", pyarrow.string()),
        ("prompt", JSON_TEXT),
        ("origin", JSON_TEXT),
    ]
)
_ROLES = {"user": "prompter"}


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one tree; `rank` is 0 for the best reply, and null where there is no one label.

    Every ranking is an event of the message that the completions reply to. Open-Assistant's own
    rankings know no ties: `ranks`, which has them, is added to the events.
    """
    tree = f"task-{example.task_id}"
    ids = [f"prompt-{example.prompt_id}-{turn}" for turn in range(len(example.messages))]
    replies = [
        _reply(answer, ids[-1], rank, example)
        for answer, rank in zip(example.completions, _ranks(example), strict=True)
    ]
    events = {"ranking": [_event(label, example, tree, ids[-1]) for label in example.rankings]}
    for turn in reversed(range(len(ids))):
        parent = ids[turn - 1] if turn else None
        replies = [_said(example, turn, ids[turn], parent, replies, events)]
        events = {}
    yield {
        "message_tree_id": tree,
        "tree_state": "ready_for_export",
        "prompt": replies[0],
        "origin": task_origin(example),
    }


def _ranks(example: Example) -> list[int | None]:
    if len(example.labels) != 1:
        return [None] * len(example.completions)
    return [rank - 1 for rank in example.labels[0].ranks]


def _node(**given: Any) -> dict[str, Any]:
    return {
        "message_id": "",
        "parent_id": None,
        "user_id": None,
        "text": "",
        "role": "",
        "lang": None,
        "review_count": None,
        "review_result": None,
        "deleted": False,
        "rank": None,
        "synthetic": False,
        "model_name": None,
        "emojis": {},
        "replies": [],
        "labels": {},
        "events": {},
    } | given


def _said(
    example: Example,
    turn: int,
    message_id: str,
    parent: str | None,
    replies: list[dict[str, Any]],
    events: dict[str, Any],
) -> dict[str, Any]:
    message = example.messages[turn]
    return _node(
        message_id=message_id,
        parent_id=parent,
        text=message["content"],
        role=_ROLES.get(message["role"], message["role"]),
        lang=example.language or None,
        replies=replies,
        events=events,
    )


def _reply(answer: Answer, parent: str, rank: int | None, example: Example) -> dict[str, Any]:
    return _node(
        message_id=f"completion-{answer.id}",
        parent_id=parent,
        text=answer.text,
        role="assistant",
        lang=example.language or None,
        rank=rank,
        synthetic=True,
        model_name=answer.policy or f"policy-{answer.policy_version}",
    )


def _event(label: Ranking, example: Example, tree: str, parent: str) -> dict[str, Any]:
    best_first = sorted(range(len(label.ranks)), key=label.ranks.__getitem__)
    return {
        "type": "ranking",
        "user_id": label.annotator,
        "ranking": best_first,
        "ranked_message_ids": [f"completion-{example.completions[at].id}" for at in best_first],
        "ranking_parent_id": parent,
        "message_tree_id": tree,
        "not_rankable": None,
        "ranks": list(label.ranks),
        "judgment_id": label.judgment_id,
        "annotator_kind": label.annotator_kind,
    }
