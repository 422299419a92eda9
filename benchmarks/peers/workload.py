"""What both sides are given: the same prompts, the same rewards, and turns.

A side waits for a line on its standard input, does one iteration, and answers with a line of JSON.
"""

import json
import random
import resource
import sys
from typing import Any

WORDS = (
    "Please write a short and friendly answer about how the weather, the sea and a small town "
    "change during the long cold winter months of the year, and tell me why that is so."
)
MARK = "PEER "


def random_prompts(tokenizer: Any, count: int, shortest: int, longest: int, seed: int) -> list:
    """Return `count` prompts of `shortest` to `longest` token ids, cut from one text."""
    body = tokenizer(WORDS)["input_ids"]
    drawn = random.Random(seed)
    prompts = []
    for _ in range(count):
        length, start = drawn.randint(shortest, longest), drawn.randrange(len(body))
        prompts.append([(body * 8)[start + i] for i in range(length)])
    return prompts


def brevity(answer_tokens: int, ended: bool) -> float:
    """Reward 1 for an answer that ended by itself, less 1/16 for each token of it; −1 if cut."""
    return 1.0 - answer_tokens / 16 if ended else -1.0


def wait_for_turn() -> None:
    """Block until the other side is done; leave where there is no other turn."""
    if not sys.stdin.readline():
        raise SystemExit(0)


def report(**figures: Any) -> None:
    """Answer with the figures of an iteration, and with the peak of resident memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(MARK + json.dumps({**figures, "peak_mib": peak}), flush=True)
