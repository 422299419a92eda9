"""What a reward model is worth on rankings that it never saw: accuracy, loss, calibration."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reward.evaluating.intervals import Interval, bootstrap_share
from reward.reward_modeling.calibration import (
    ReliabilityBin,
    expected_calibration_error,
    mean_pair_loss,
    outcome,
    reliability_curve,
)
from storage.errors import BadInput


@dataclass(frozen=True)
class JudgedRanking:
    """An unseen ranking: its prompt, its subset, and Δr of every pair, better less worse."""

    group: int
    subset: str
    margins: Sequence[float]


@dataclass(frozen=True)
class RewardReport:
    """Figures on unseen pairs, over prompts where they have an interval."""

    accuracy: Interval
    loss: float  #: mean −log σ(Δr): 0.693 for a model that knows nothing
    calibration_error: float
    reliability: list[ReliabilityBin]
    by_subset: Mapping[str, Interval]

    def metrics(self) -> dict[str, Any]:
        """Return the figures as a round keeps them, as JSON."""
        return {
            "reward_accuracy": self.accuracy.value,
            "reward_accuracy_low": self.accuracy.low,
            "reward_accuracy_high": self.accuracy.high,
            "reward_pairs": self.accuracy.values,
            "reward_rankings": self.accuracy.clusters,
            "reward_loss_heldout": self.loss,
            "reward_ece": self.calibration_error,
            "reward_reliability": [asdict(one) for one in self.reliability],
            "reward_accuracy_by": {
                subset: {
                    "accuracy": one.value,
                    "low": one.low,
                    "high": one.high,
                    "pairs": one.values,
                }
                for subset, one in self.by_subset.items()
            },
        }


def reward_report(judged: Sequence[JudgedRanking], *, seed: int) -> RewardReport:
    """Return the figures of rankings that the model never saw; ties in scores count half.

    Raises `ValueError` where there is no pair, and `BadInput` where a score is not finite: a last
    step that ran away shows in no loss of the fit.
    """
    margins = [margin for one in judged for margin in one.margins]
    if not all(map(math.isfinite, margins)):
        raise BadInput(
            "The reward model's scores are not finite numbers; lower training.reward.learning_rate."
        )
    accuracy = _accuracy(judged, seed)
    curve = reliability_curve(margins)
    subsets = sorted({one.subset for one in judged if one.subset and one.margins})
    return RewardReport(
        accuracy=accuracy,
        loss=mean_pair_loss(margins),
        calibration_error=expected_calibration_error(curve),
        reliability=curve,
        by_subset={
            name: _accuracy([one for one in judged if one.subset == name], seed) for name in subsets
        },
    )


def _accuracy(judged: Sequence[JudgedRanking], seed: int) -> Interval:
    """Put the pairs of one prompt together: they are of the same completions."""
    found: dict[int, list[float]] = {}
    for one in judged:
        found.setdefault(one.group, []).extend(map(outcome, one.margins))
    return bootstrap_share(list(found.values()), seed=seed)
