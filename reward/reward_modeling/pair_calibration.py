"""From how far apart two scores are to how many people agree: learned from pairs people judged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from reward.reward_modeling.calibration import ReliabilityBin, outcome

BINS = 10


@dataclass(frozen=True)
class PairCalibration:
    """Calibrated probabilities at some margins, both ascending; linear in between, level beyond."""

    margins: tuple[float, ...]
    probabilities: tuple[float, ...]
    pairs: int  #: that it was learned from

    def probability(self, margin: float) -> float:
        """Return the share of people who are expected to prefer the first of a pair.

        `margin` is the first one's score less the second one's; at 0 it is ½.
        """
        known = numpy.interp(abs(margin), [0.0, *self.margins], [0.5, *self.probabilities])
        return float(known if margin >= 0 else 1.0 - known)


def calibrate_margins(margins: Sequence[float], bins: int = BINS) -> PairCalibration | None:
    """Learn from pairs in people's order: the better one's score less the worse one's.

    In `bins` parts of like size by how far apart the scores are; equal distances share one. None
    without a pair whose scores differ.
    """
    ordered = numpy.array(sorted((one for one in margins if one != 0), key=abs))
    if not len(ordered):
        return None
    parts: dict[float, list[float]] = {}
    for part in numpy.array_split(ordered, min(bins, len(ordered))):
        parts.setdefault(float(numpy.abs(part).mean()), []).extend(part.tolist())
    return _calibration(
        list(parts),
        [float(sum(map(outcome, part))) for part in parts.values()],
        [len(part) for part in parts.values()],
    )


def calibrate_bins(curve: Sequence[ReliabilityBin]) -> PairCalibration | None:
    """Learn from a reliability curve whose confidences are σ(margin); None without a pair."""
    known = [one for one in curve if one.count]
    if not known:
        return None
    return _calibration(
        [_logit(one.predicted) for one in known],
        [one.observed * one.count for one in known],
        [one.count for one in known],
    )


def _calibration(
    margins: Sequence[float], right: Sequence[float], counts: Sequence[int]
) -> PairCalibration:
    """Return isotonic probabilities (Zadrozny and Elkan 2002, §3) of bins in ascending order.

    A bin of n pairs of which r are right counts as (r + 1) / (n + 2), Laplace's rule: three of
    three is no certainty.
    """
    smoothed = [(r + 1.0) / (n + 2.0) for r, n in zip(right, counts, strict=True)]
    levels = _isotonic(smoothed, [n + 2.0 for n in counts])
    return PairCalibration(tuple(margins), tuple(levels), sum(counts))


def _isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the nearest values that never fall, by pooling adjacent violators."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, wa, na), (b, wb, nb) = blocks[-2:]
            blocks[-2:] = [((a * wa + b * wb) / (wa + wb), wa + wb, na + nb)]
    return [value for value, _, size in blocks for _ in range(size)]


def _logit(p: float) -> float:
    inside = min(max(p, 1e-9), 1 - 1e-9)
    return math.log(inside) - math.log1p(-inside)
