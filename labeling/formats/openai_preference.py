"""OpenAI's preference fine-tuning: `input`, `preferred_output` and `non_preferred_output`."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import JSON_TEXT, MESSAGES, PAIR_COLUMNS, said
from labeling.formats.example import Example
from labeling.formats.pairs import pairs_of

HELP = "the input and a preferred and a non-preferred output, for OpenAI's preference fine-tuning"
UNIT = "pair"
SCHEMA = pyarrow.schema(
    [
        (
            "input",
            pyarrow.struct(
                [
                    ("messages", MESSAGES),
                    ("tools", pyarrow.list_(JSON_TEXT)),
                    ("parallel_tool_calls", pyarrow.bool_()),
                ]
            ),
        ),
        ("preferred_output", MESSAGES),
        ("non_preferred_output", MESSAGES),
        ("metadata", pyarrow.struct(PAIR_COLUMNS)),
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one row a strict pair; the ids are in `metadata`."""
    for pair in pairs_of(example):
        yield {
            "input": {"messages": example.messages, "tools": [], "parallel_tool_calls": True},
            "preferred_output": said(pair.chosen),
            "non_preferred_output": said(pair.rejected),
            "metadata": pair.origin,
        }
