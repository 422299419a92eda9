"""The comparisons of "Learning to summarize from human feedback": two texts, and the choice."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import MESSAGES, PAIR_COLUMNS
from labeling.formats.example import Answer, Example
from labeling.formats.pairs import Pair, pairs_of

HELP = "two completions and which was chosen, as summarize-from-feedback's comparisons"
UNIT = "pair"
_SUMMARY = pyarrow.struct(
    [("text", pyarrow.string()), ("policy", pyarrow.string()), ("note", pyarrow.string())]
)
SCHEMA = pyarrow.schema(
    [
        (
            "info",
            pyarrow.struct(
                [
                    ("id", pyarrow.string()),
                    ("post", pyarrow.string()),
                    ("title", pyarrow.string()),
                    ("subreddit", pyarrow.string()),
                    ("messages", MESSAGES),
                ]
            ),
        ),
        ("split", pyarrow.string()),
        ("summaries", pyarrow.list_(_SUMMARY)),
        ("choice", pyarrow.int64()),
        ("worker", pyarrow.string()),
        ("batch", pyarrow.string()),
        (
            "extra",
            pyarrow.struct([("confidence", pyarrow.int64()), ("strength", pyarrow.int64())]),
        ),
        *PAIR_COLUMNS,
    ]
)
_SPLITS = {"train": "train", "validation": "valid1", "test": "valid2"}


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one row a strict pair, the two completions in their task's order.

    `extra.confidence` is the published nine-step scale, which nobody was asked here: it is null,
    and what was asked is in `extra.strength`.
    """
    info = {
        "id": f"prompt-{example.prompt_id}",
        "post": example.messages[-1]["content"],
        "title": None,
        "subreddit": None,
        "messages": example.messages,
    }
    for pair in pairs_of(example):
        yield {
            "info": info,
            "split": _SPLITS[example.split],
            "summaries": _in_order(pair),
            "choice": int(pair.chosen_at > pair.rejected_at),
            "worker": pair.label.annotator,
            "batch": example.snapshot,
            "extra": {"confidence": None, "strength": pair.label.strength},
            **pair.origin,
        }


def _in_order(pair: Pair) -> list[dict[str, str | None]]:
    chosen, rejected = _summary(pair.chosen), _summary(pair.rejected)
    return [chosen, rejected] if pair.chosen_at < pair.rejected_at else [rejected, chosen]


def _summary(answer: Answer) -> dict[str, str | None]:
    policy = answer.policy or f"policy-{answer.policy_version}"
    return {"text": answer.text, "policy": policy, "note": None}
