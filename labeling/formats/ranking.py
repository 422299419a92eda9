"""Whole rankings: all completions of a task, each annotator's own ranks and the consolidated."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import MESSAGES, TASK_COLUMNS, task_origin
from labeling.formats.example import Answer, Example, Ranking

HELP = "all completions of a task with every annotator's ranks and the consolidated ones"
UNIT = "task"


def _answers(kind: pyarrow.DataType) -> pyarrow.DataType:
    return pyarrow.list_(
        pyarrow.struct([("criterion", pyarrow.string()), ("answers", pyarrow.list_(kind))])
    )


_COMPLETION = pyarrow.struct(
    [
        ("id", pyarrow.int64()),
        ("text", pyarrow.string()),
        ("policy_version", pyarrow.int64()),
        ("policy", pyarrow.string()),
        ("finish_reason", pyarrow.string()),
    ]
)
_RANKING = pyarrow.struct(
    [
        ("judgment_id", pyarrow.int64()),
        ("annotator", pyarrow.string()),
        ("annotator_kind", pyarrow.string()),
        ("ranks", pyarrow.list_(pyarrow.int64())),
        ("strength", pyarrow.int64()),
        ("likert", _answers(pyarrow.int64())),
        ("checks", _answers(pyarrow.bool_())),
        ("flags", pyarrow.list_(pyarrow.string())),
        ("rationale", pyarrow.string()),
        ("milliseconds", pyarrow.int64()),
        ("guideline_version", pyarrow.int64()),
        ("created_at", pyarrow.string()),
        ("reliability", pyarrow.float64()),
    ]
)
_CONSOLIDATED = pyarrow.struct(
    [
        ("ranks", pyarrow.list_(pyarrow.int64())),
        ("rule", pyarrow.string()),
        ("uncertainty", pyarrow.float64()),
    ]
)
SCHEMA = pyarrow.schema(
    [
        ("prompt", MESSAGES),
        ("completions", pyarrow.list_(_COMPLETION)),
        ("rankings", pyarrow.list_(_RANKING)),
        ("consolidated", _CONSOLIDATED),
        ("tags", pyarrow.list_(pyarrow.string())),
        ("language", pyarrow.string()),
        ("source", pyarrow.string()),
        ("license", pyarrow.string()),
        *TASK_COLUMNS,
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one row: ranks are in the order of `completions`, 1 is best, equal ranks are ties."""
    label = example.consolidated
    yield {
        "prompt": example.messages,
        "completions": [_completion(answer) for answer in example.completions],
        "rankings": [_ranking(ranking) for ranking in example.rankings],
        "consolidated": None
        if label is None
        else {
            "ranks": list(label.ranks),
            "rule": label.annotator,
            "uncertainty": label.uncertainty,
        },
        "tags": list(example.tags),
        "language": example.language,
        "source": example.source,
        "license": example.license,
        **task_origin(example),
    }


def _completion(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id,
        "text": answer.text,
        "policy_version": answer.policy_version,
        "policy": answer.policy,
        "finish_reason": answer.finish_reason,
    }


def _ranking(ranking: Ranking) -> dict[str, Any]:
    return {
        "judgment_id": ranking.judgment_id,
        "annotator": ranking.annotator,
        "annotator_kind": ranking.annotator_kind,
        "ranks": list(ranking.ranks),
        "strength": ranking.strength,
        "likert": _criteria(ranking.likert),
        "checks": _criteria(ranking.checks),
        "flags": list(ranking.flags),
        "rationale": ranking.rationale,
        "milliseconds": ranking.milliseconds,
        "guideline_version": ranking.guideline_version,
        "created_at": ranking.created_at.isoformat() if ranking.created_at else None,
        "reliability": ranking.reliability,
    }


def _criteria(answers: dict[str, Any]) -> list[dict[str, Any]]:
    # A list and not a mapping: its shape is the same whatever a project asks.
    return [{"criterion": name, "answers": list(given)} for name, given in answers.items()]
