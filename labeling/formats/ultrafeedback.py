"""UltraFeedback, binarized: conversations with scores, which only people's ratings fill."""

from collections.abc import Iterator
from typing import Any

import pyarrow

from labeling.formats.columns import MESSAGES, PAIR_COLUMNS, said
from labeling.formats.example import Example, Ranking
from labeling.formats.pairs import Pair, pairs_of

HELP = "chosen and rejected conversations with scores, as UltraFeedback binarized has them"
UNIT = "pair"
SCHEMA = pyarrow.schema(
    [
        ("prompt", pyarrow.string()),
        ("prompt_id", pyarrow.string()),
        ("chosen", MESSAGES),
        ("rejected", MESSAGES),
        ("messages", MESSAGES),
        ("score_chosen", pyarrow.float64()),
        ("score_rejected", pyarrow.float64()),
        *(field for field in PAIR_COLUMNS if field.name != "prompt_id"),
    ]
)


def rows(example: Example) -> Iterator[dict[str, Any]]:
    """Yield one row a strict pair; `prompt` is the last message, `messages` the chosen side."""
    for pair in pairs_of(example):
        chosen = [*example.messages, *said(pair.chosen)]
        yield {
            **pair.origin,
            "prompt": example.messages[-1]["content"],
            "prompt_id": str(example.prompt_id),
            "chosen": chosen,
            "rejected": [*example.messages, *said(pair.rejected)],
            "messages": chosen,
            **_scores(example, pair),
        }


def _scores(example: Example, pair: Pair) -> dict[str, float | None]:
    raters = example.rankings if example.consolidated is not None else (pair.label,)
    chosen, rejected = _score(raters, pair.chosen_at), _score(raters, pair.rejected_at)
    # One score without the other compares nothing.
    both = chosen is not None and rejected is not None
    return {
        "score_chosen": chosen if both else None,
        "score_rejected": rejected if both else None,
    }


def _score(raters: tuple[Ranking, ...], position: int) -> float | None:
    """Return the mean of the Likert answers (1–7) about a completion; None where there is none.

    A rating is never derived from a ranking. UltraFeedback too averages over its aspects (Cui et
    al. 2023, arXiv:2310.01377, section 3).
    """
    answers = [
        answer
        for rater in raters
        for of_criterion in rater.likert.values()
        if (answer := of_criterion[position]) is not None
    ]
    return sum(answers) / len(answers) if answers else None
