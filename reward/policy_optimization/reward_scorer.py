"""What scores completions, however it was trained, and how it comes back from disk."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch
from reward.language_models.wheels import Progress
from reward.reward_modeling.reward_model import HEAD_FILE, RewardModel
from reward.training.processes import Processes
from storage.errors import BadInput


class RewardScorer(Protocol):
    """A trained reward model of any kind."""

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        """Return the normalised scores (B,) of the batch's answers, on the backbone's device."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model into a folder."""
        ...


def load_reward_scorer(
    backbone: Backbone,
    folder: Path,
    adapter: str = "reward",
    progress: Progress | None = None,
) -> RewardScorer:
    """Read what a scorer's `save` wrote, of whatever kind it is.

    `progress` hears of the sentence encoder that is fetched (None: the log does). Raises
    `Unavailable` naming the file that is missing or cannot be used.
    """
    if (folder / HEAD_FILE).exists():
        return RewardModel.load(backbone, folder, adapter)
    from reward.reward_modeling.feature_model import FILE, FeatureRewardModel

    if (folder / FILE).exists():
        return FeatureRewardModel.load(folder, backbone.tokenizer, progress=progress)
    return RewardModel.load(backbone, folder, adapter)


def check_scores(scores: Iterable[float], processes: Processes) -> None:
    """Raise `BadInput`, in every process, where a score of any of them is not finite.

    No rate of the policy mends that, so it is no `FloatingPointError`, whose reader is told of one.
    """
    (broken,) = processes.sum(sum(not math.isfinite(score) for score in scores))
    if broken:
        raise BadInput(
            "A completion's score is not a finite number, so the reward model's weights have run "
            "away; train the reward model again with a lower learning rate."
        )
