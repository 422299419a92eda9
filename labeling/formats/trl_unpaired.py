"""TRL's unpaired preferences: one completion, and whether it is wanted."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import LABEL_COLUMNS, MESSAGES, label_origin, said
from labeling.formats.example import Example

HELP = "a prompt, a completion and whether it is wanted, for TRL's KTOTrainer"
UNIT = "completion"
SCHEMA = pyarrow.schema(
    [
        ("prompt", MESSAGES),
        ("completion", MESSAGES),
        ("label", pyarrow.bool_()),
        ("completion_id", pyarrow.int64()),
        ("completion_policy_version", pyarrow.int64()),
        *LABEL_COLUMNS,
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield a row for each completion ranked best (true) or worst (false) of a ranking.

    What lies between is neither wanted nor unwanted, and a ranking that ties all says nothing.
    """
    for label in example.labels:
        best, worst = min(label.ranks), max(label.ranks)
        if best == worst:
            continue
        origin = label_origin(example, label)
        for answer, rank in zip(example.completions, label.ranks, strict=True):
            if rank in (best, worst):
                yield {
                    "prompt": example.messages,
                    "completion": said(answer),
                    "label": rank == best,
                    "completion_id": answer.id,
                    "completion_policy_version": answer.policy_version,
                    **origin,
                }
