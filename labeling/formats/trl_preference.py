"""TRL's conversational preferences: `prompt`, `chosen` and `rejected` as lists of messages."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import MESSAGES, PAIR_COLUMNS, said
from labeling.formats.example import Example
from labeling.formats.pairs import margin_of, pairs_of

HELP = "chosen and rejected answers to a prompt, for TRL's RewardTrainer and DPOTrainer"
UNIT = "pair"
SCHEMA = pyarrow.schema(
    [
        ("prompt", MESSAGES),
        ("chosen", MESSAGES),
        ("rejected", MESSAGES),
        ("margin", pyarrow.float64()),
        ("strength", pyarrow.int64()),
        *PAIR_COLUMNS,
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one row a strict pair; TRL reads the first three fields, and `margin` if asked."""
    for pair in pairs_of(example):
        yield {
            "prompt": example.messages,
            "chosen": said(pair.chosen),
            "rejected": said(pair.rejected),
            "margin": margin_of(pair.label),
            "strength": pair.label.strength,
            **pair.origin,
        }
