"""What the rows of several formats share: where they are from, and their columns' Arrow types."""

from typing import Any

import pyarrow

from labeling.formats.example import Answer, Example, Messages, Ranking

MESSAGES = pyarrow.list_(
    pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
)
#: Of a column whose JSON has no fixed shape: Parquet, Arrow and CSV hold it as JSON text.
JSON_TEXT = pyarrow.string()

_OF_TASK = [
    ("prompt_id", pyarrow.int64()),
    ("task_id", pyarrow.int64()),
    ("policy_version", pyarrow.int64()),
    ("round", pyarrow.int64()),
    ("snapshot", pyarrow.string()),
    ("weight", pyarrow.float64()),
]
_OF_JUDGMENT = [
    ("judgment_id", pyarrow.int64()),
    ("annotator", pyarrow.string()),
    ("annotator_kind", pyarrow.string()),
    ("reliability", pyarrow.float64()),
]
_OF_PAIR = [
    ("chosen_id", pyarrow.int64()),
    ("rejected_id", pyarrow.int64()),
    ("chosen_policy_version", pyarrow.int64()),
    ("rejected_policy_version", pyarrow.int64()),
]
TASK_COLUMNS = [pyarrow.field(name, kind) for name, kind in _OF_TASK]
LABEL_COLUMNS = [*TASK_COLUMNS, *(pyarrow.field(name, kind) for name, kind in _OF_JUDGMENT)]
PAIR_COLUMNS = [*LABEL_COLUMNS, *(pyarrow.field(name, kind) for name, kind in _OF_PAIR)]


def task_origin(example: Example) -> dict[str, Any]:
    """Return the fields `TASK_COLUMNS`."""
    return {
        "prompt_id": example.prompt_id,
        "task_id": example.task_id,
        "policy_version": example.policy_version,
        "round": example.round,
        "snapshot": example.snapshot,
        "weight": example.weight,
    }


def label_origin(example: Example, label: Ranking) -> dict[str, Any]:
    """Return the fields `LABEL_COLUMNS`."""
    return {
        **task_origin(example),
        "judgment_id": label.judgment_id,
        "annotator": label.annotator,
        "annotator_kind": label.annotator_kind,
        "reliability": label.reliability,
    }


def pair_origin(origin: dict[str, Any], chosen: Answer, rejected: Answer) -> dict[str, Any]:
    """Return the fields `PAIR_COLUMNS`, from those of `label_origin`."""
    return {
        **origin,
        "chosen_id": chosen.id,
        "rejected_id": rejected.id,
        "chosen_policy_version": chosen.policy_version,
        "rejected_policy_version": rejected.policy_version,
    }


def said(answer: Answer) -> Messages:
    """Return a completion as the assistant's message."""
    return [{"role": "assistant", "content": answer.text}]
