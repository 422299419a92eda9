"""TRL's prompts with a completion: the demonstrations that people wrote."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import MESSAGES
from labeling.formats.example import Example

HELP = "prompts with an answer that a person wrote, for TRL's SFTTrainer"
UNIT = "demonstration"
SCHEMA = pyarrow.schema(
    [
        ("prompt", MESSAGES),
        ("completion", MESSAGES),
        ("prompt_id", pyarrow.int64()),
        ("demonstration_id", pyarrow.int64()),
        ("annotator", pyarrow.string()),
        ("snapshot", pyarrow.string()),
        ("weight", pyarrow.float64()),
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one row a demonstration."""
    for written in example.demonstrations:
        yield {
            "prompt": example.messages,
            "completion": [{"role": "assistant", "content": written.text}],
            "prompt_id": example.prompt_id,
            "demonstration_id": written.id,
            "annotator": written.annotator,
            "snapshot": example.snapshot,
            "weight": example.weight,
        }
