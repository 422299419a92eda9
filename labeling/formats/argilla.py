"""Argilla's records: fields, and a response to the question `ranking` from each annotator."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pyarrow

from labeling.formats.columns import JSON_TEXT, task_origin
from labeling.formats.example import Example, Ranking

HELP = "one record a task with every annotator's response to a ranking question, for Argilla"
UNIT = "task"
SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.string()),
        ("fields", JSON_TEXT),
        ("metadata", JSON_TEXT),
        ("suggestions", JSON_TEXT),
        ("responses", JSON_TEXT),
        ("vectors", JSON_TEXT),
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one record; a consolidated label is the suggestion, equal ranks are ties.

    Argilla knows its users by UUIDs: each pseudonym has one of its own, and the pseudonyms are in
    `metadata`, in the order of the responses.
    """
    names = [f"completion_{place}" for place in range(1, len(example.completions) + 1)]
    texts = {name: answer.text for name, answer in zip(names, example.completions, strict=True)}
    yield {
        "id": f"task-{example.task_id}",
        "fields": {"prompt": example.messages, **texts},
        "metadata": _metadata(example),
        "suggestions": _suggestions(example.consolidated, names),
        "responses": {"ranking": [_response(label, names) for label in example.rankings]},
        "vectors": {},
    }


def _metadata(example: Example) -> dict[str, Any]:
    return {
        **task_origin(example),
        "completion_ids": [str(answer.id) for answer in example.completions],
        "policies": [answer.policy for answer in example.completions],
        "policy_versions": [str(answer.policy_version) for answer in example.completions],
        "annotators": [label.annotator for label in example.rankings],
        "annotator_kinds": [label.annotator_kind for label in example.rankings],
        "judgment_ids": [str(label.judgment_id) for label in example.rankings],
        "split": example.split,
    }


def _suggestions(label: Ranking | None, names: list[str]) -> dict[str, Any]:
    if label is None:
        return {}
    score = None if label.uncertainty is None else 1 - label.uncertainty
    suggestion = {"value": _ranked(label, names), "score": score, "agent": label.annotator}
    return {"ranking": suggestion}


def _response(label: Ranking, names: list[str]) -> dict[str, Any]:
    return {"value": _ranked(label, names), "user_id": _user(label.annotator)}


@lru_cache(maxsize=4096)
def _user(annotator: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"rankloop:{annotator}"))


def _ranked(label: Ranking, names: list[str]) -> list[dict[str, Any]]:
    return [{"value": name, "rank": rank} for name, rank in zip(names, label.ranks, strict=True)]
