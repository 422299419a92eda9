"""TRL's preferences with an implicit prompt: `chosen` and `rejected` are whole conversations."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import MESSAGES, PAIR_COLUMNS, said
from labeling.formats.example import Example
from labeling.formats.pairs import margin_of, pairs_of

HELP = "chosen and rejected conversations, the prompt within them, for TRL"
UNIT = "pair"
SCHEMA = pyarrow.schema(
    [
        ("chosen", MESSAGES),
        ("rejected", MESSAGES),
        ("margin", pyarrow.float64()),
        ("strength", pyarrow.int64()),
        *PAIR_COLUMNS,
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one row a strict pair."""
    for pair in pairs_of(example):
        yield {
            "chosen": [*example.messages, *said(pair.chosen)],
            "rejected": [*example.messages, *said(pair.rejected)],
            "margin": margin_of(pair.label),
            "strength": pair.label.strength,
            **pair.origin,
        }
