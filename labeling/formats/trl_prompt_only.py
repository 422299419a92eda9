"""TRL's prompts alone, for trainers that sample the completions themselves."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import MESSAGES
from labeling.formats.example import Example

HELP = "the prompts that were judged, each once, for TRL's GRPOTrainer and RLOOTrainer"
UNIT = "prompt"
SCHEMA = pyarrow.schema(
    [
        ("prompt", MESSAGES),
        ("prompt_id", pyarrow.int64()),
        ("source", pyarrow.string()),
        ("license", pyarrow.string()),
        ("snapshot", pyarrow.string()),
        ("weight", pyarrow.float64()),
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield the prompt."""
    yield {
        "prompt": example.messages,
        "prompt_id": example.prompt_id,
        "source": example.source,
        "license": example.license,
        "snapshot": example.snapshot,
        "weight": example.weight,
    }
