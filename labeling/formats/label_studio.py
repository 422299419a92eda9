"""Label Studio's JSON: a task with a list of completions, and a ranker's result of each annotator.

The labeling configuration that shows it has a List `answers` of `$items`, and a Ranker `ranking`
with one Bucket a rank, named 1 to K: a plain Ranker has no ties.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import JSON_TEXT, task_origin
from labeling.formats.example import Example, Ranking

HELP = "one task with every annotator's ranking in buckets, as Label Studio's JSON"
UNIT = "task"
SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.int64()),
        ("data", JSON_TEXT),
        ("annotations", JSON_TEXT),
        ("predictions", JSON_TEXT),
        ("meta", JSON_TEXT),
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one task; a consolidated label is its prediction. The best bucket is named 1."""
    ids = [str(answer.id) for answer in example.completions]
    label = example.consolidated
    yield {
        "id": example.task_id,
        "data": {
            "prompt": example.messages,
            "items": [
                {
                    "id": str(answer.id),
                    "title": f"Answer {place}",
                    "body": answer.text,
                    "policy": answer.policy,
                    "policy_version": answer.policy_version,
                }
                for place, answer in enumerate(example.completions, start=1)
            ],
        },
        "annotations": [_annotation(ranking, ids) for ranking in example.rankings],
        "predictions": [] if label is None else [_prediction(label, ids)],
        "meta": {**task_origin(example), "split": example.split},
    }


def _annotation(ranking: Ranking, ids: list[str]) -> dict[str, Any]:
    return {
        "id": ranking.judgment_id,
        "result": [_result(ranking, ids)],
        "was_cancelled": False,
        "ground_truth": ranking.judgment_id == 0,
        "created_at": ranking.created_at.isoformat() if ranking.created_at else None,
        # 0 is no time that anybody took: it was not kept.
        "lead_time": ranking.milliseconds / 1000 or None,
        # `completed_by` is a key of Label Studio's own users: these are none.
        "annotator": ranking.annotator,
        "annotator_kind": ranking.annotator_kind,
        "strength": ranking.strength,
    }


def _prediction(label: Ranking, ids: list[str]) -> dict[str, Any]:
    score = None if label.uncertainty is None else 1 - label.uncertainty
    return {"result": [_result(label, ids)], "model_version": label.annotator, "score": score}


def _result(label: Ranking, ids: list[str]) -> dict[str, Any]:
    buckets: dict[str, list[str]] = {str(rank): [] for rank in sorted(set(label.ranks))}
    for completion_id, rank in zip(ids, label.ranks, strict=True):
        buckets[str(rank)].append(completion_id)
    return {
        "from_name": "ranking",
        "to_name": "answers",
        "type": "ranker",
        "value": {"ranker": buckets},
    }
