"""HH-RLHF's shape: `chosen` and `rejected` as whole dialogues in one text each."""

import re
from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import PAIR_COLUMNS
from labeling.formats.example import Example, Messages
from labeling.formats.pairs import pairs_of

HELP = "chosen and rejected dialogues as text with Human: and Assistant: turns"
UNIT = "pair"
SCHEMA = pyarrow.schema(
    [("chosen", pyarrow.string()), ("rejected", pyarrow.string()), *PAIR_COLUMNS]
)
_SPEAKERS = {"user": "Human", "assistant": "Assistant"}
# Tried once a run of newlines: a text of nothing else would cost the square of its length.
_TURN = re.compile(r"(?<!\n)\n{2,}+(?=(?:Human|Assistant):)")


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one row a strict pair."""
    asked = dialogue(example.messages)
    for pair in pairs_of(example):
        yield {
            "chosen": asked + _turn("assistant", pair.chosen.text),
            "rejected": asked + _turn("assistant", pair.rejected.text),
            **pair.origin,
        }


def dialogue(messages: Messages) -> str:
    """Return the turns as one text; a system message stands before them, without a speaker.

    A text cannot pretend to be a turn: of the two newlines before a speaker's name in it, one
    stays.
    """
    return "".join(_turn(message["role"], message["content"]) for message in messages)


def _turn(role: str, text: str) -> str:
    # Where there is nothing to take away, looking so is ten times as fast.
    pretends = "\n\nHuman:" in text or "\n\nAssistant:" in text
    safe = _TURN.sub("\n", text) if pretends else text
    speaker = _SPEAKERS.get(role)
    return safe if speaker is None else f"\n\n{speaker}: {safe}"
