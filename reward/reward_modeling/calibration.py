"""Calibration: whether σ(Δr) of two completions is the share of people who agree with it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

BINS = 10  # of equal width from ½ to 1


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs of like confidence: the mean confidence, the share that was right, and how many."""

    predicted: float
    observed: float
    count: int


def confidence(margin: float) -> float:
    """Return how sure a model is of the order that it gives a pair: σ(|Δr|), from ½ to 1."""
    return 1.0 / (1.0 + math.exp(-abs(margin)))


def order_probability(margin: float) -> float:
    """Return the probability σ(Δr) that a model gives to the order that the margin is of."""
    sure = confidence(margin)
    return sure if margin >= 0 else 1.0 - sure


def outcome(margin: float) -> float:
    """Return 1 where the better one scored more, ½ where both scored alike, else 0."""
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0


def reliability_curve(margins: Sequence[float], bins: int = BINS) -> list[ReliabilityBin]:
    """Return the bins of confidence that hold a pair, least sure first.

    Guo et al. 2017, §2: confidence σ(|Δr|) against the share of pairs in the people's order.
    `margins` (N,) is the score of the better completion less that of the worse one, in nats.
    """
    found: dict[int, list[float]] = {}
    for margin in margins:
        place = int((confidence(margin) - 0.5) * 2 * bins)
        found.setdefault(min(place, bins - 1), []).append(margin)
    return [
        ReliabilityBin(
            predicted=sum(map(confidence, inside)) / len(inside),
            observed=sum(map(outcome, inside)) / len(inside),
            count=len(inside),
        )
        for _, inside in sorted(found.items())
    ]


def expected_calibration_error(curve: Sequence[ReliabilityBin]) -> float:
    """Return the mean distance of confidence and share right over all pairs.

    Guo et al. 2017, eq. 3. Raises `ValueError` on an empty curve.
    """
    total = sum(one.count for one in curve)
    if total == 0:
        raise ValueError("a calibration error needs at least one pair")
    return sum(one.count * abs(one.predicted - one.observed) for one in curve) / total


def mean_pair_loss(margins: Sequence[float]) -> float:
    """Return the mean of −log σ(Δr) over pairs (at least one): log 2 if the model knows nothing."""
    losses = [max(0.0, -m) + math.log1p(math.exp(-abs(m))) for m in margins]
    return sum(losses) / len(losses)
