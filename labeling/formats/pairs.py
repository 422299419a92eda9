"""Chosen and rejected completions: what the formats of pairs are written from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from labeling.formats.columns import label_origin, pair_origin
from labeling.formats.example import Answer, Example, Ranking, strict_pairs


@dataclass(frozen=True, slots=True)
class Pair:
    """Two completions of an example, one ranked better; `origin` has the fields `PAIR_COLUMNS`.

    `chosen_at` and `rejected_at` are their task positions.
    """

    label: Ranking
    chosen: Answer
    rejected: Answer
    chosen_at: int
    rejected_at: int
    origin: dict[str, Any]


def pairs_of(example: Example) -> Iterator[Pair]:
    """Yield each strict pair of each label of the example; tied completions make none."""
    for label in example.labels:
        origin = label_origin(example, label)
        for better, worse in strict_pairs(label.ranks):
            chosen, rejected = example.completions[better], example.completions[worse]
            yield Pair(
                label, chosen, rejected, better, worse, pair_origin(origin, chosen, rejected)
            )


def margin_of(label: Ranking) -> float:
    """Return the margin of a pair: 0, 1/3, 2/3 or 1 for strength 1 to 4; 0 where none was said.

    Touvron et al. 2023 (arXiv:2307.09288), section 3.2.2 and the appendix's small margins.
    """
    return 0.0 if label.strength is None else (label.strength - 1) / 3
