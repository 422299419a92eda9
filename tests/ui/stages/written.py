"""Files that the commands of training read, how the commands are called, and curves they left."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SIZES = (
    *("backbone.top_layers=2", "backbone.rank=4", "sampling.max_new_tokens=8"),
    *("ppo.prompts_per_iteration=8", "ppo.max_prompt_tokens=300", "ppo.iterations=2"),
    *("evaluation.prompts=8", "evaluation.heldout_tokens=200", "reward.max_steps=8"),
    *("reward.normalise_prompts=4",),
)
#: runs a command; gives code, stdout and stderr
Say = Callable[..., tuple[int, str, str]]


def write(name: str, rows: list[Any]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """Return the curve of that name that TensorBoard finds in a folder."""
    found = EventAccumulator(str(folder))
    found.Reload()
    return [(event.step, event.value) for event in found.Scalars(name)]


def rankings(count: int = 40, **more: Any) -> list[dict[str, Any]]:
    """Return rankings in which the shorter completion is always the better one."""
    draw = random.Random(0)
    return [
        {
            "prompt": f"Question {number}?",
            "completions": ["a" * draw.randint(1, 8), "b" * draw.randint(12, 24), "c" * 30],
            "ranks": [1, 2, 3],
            "subset": ("even", "odd")[number % 2],
            **more,
        }
        for number in range(count)
    ]


def prompts(count: int = 12) -> list[dict[str, str]]:
    return [{"prompt": f"Question {number}?"} for number in range(count)]
