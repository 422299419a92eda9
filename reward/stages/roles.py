"""Trained folders taken in as roles: policies on the stage's backbone, and reward models.

A backbone's roles are all of one tuning method. A reward model of another one gets a backbone of
its own, with the layers that it was trained with; but heads on the bare model, and a model on
features, go with any.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.number_format import computing_dtype
from reward.language_models.padding import AnsweredBatch
from reward.language_models.wheels import Progress
from reward.policy_optimization.reward_scorer import RewardScorer, load_reward_scorer
from reward.reward_modeling.feature_model import FILE as FEATURE_FILE
from reward.reward_modeling.reward_model import HEAD_FILE, RewardModel, heads_alone
from reward.stages.model import StageModel, check_made_for
from reward.stages.result import CARD, read_settings
from reward.tuning.checkpoint import ADAPTER_FILE, read_checkpoint
from storage.blobs import MANIFEST, verify
from storage.errors import BadInput, Unavailable


@dataclass(frozen=True)
class Judge:
    """A reward model for batches of the stage's backbone."""

    scorer: RewardScorer
    own: Backbone | None  #: its backbone, where that is not the stage's

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        """Return the scores (B,) of a batch whose trunk is of the stage's backbone."""
        if self.own is not None:
            trunk = self.own.trunk(batch.ids)
        return self.scorer.score(trunk, batch)

    @property
    def value_head(self) -> tuple[Tensor, float] | None:
        """Return a weight (H,) and a bias that a value model may start from."""
        return self.scorer.mean_head() if isinstance(self.scorer, RewardModel) else None


def check_reward(folder: Path) -> None:
    """Raise `BadInput` where a folder holds no reward model, or not what was written to it."""
    _check_holds_reward(folder)
    _check_whole(folder)


def check_policy(folder: Path) -> None:
    """Raise `BadInput` where a folder holds no policy, or not what was written to it."""
    _check_holds_policy(folder)
    _check_whole(folder)


def _check_holds_reward(folder: Path) -> None:
    if not any((folder / name).is_file() for name in (HEAD_FILE, FEATURE_FILE)):
        raise BadInput(
            f"{folder} holds no reward model; give a folder that `rankloop train reward` made."
        )


def _check_holds_policy(folder: Path) -> None:
    if not (folder / ADAPTER_FILE).is_file() or (folder / HEAD_FILE).is_file():
        raise BadInput(
            f"{folder} holds no policy; give a folder that `rankloop train sft` or `rankloop train "
            "ppo` made."
        )


def _check_whole(folder: Path) -> None:
    # The model card is left out: it is there to be edited.
    if not (folder / MANIFEST).is_file():
        return
    try:
        verify(Path(), str(folder), leave_out={CARD})
    except Unavailable as error:
        raise BadInput(str(error)) from error


def tuning_of(folder: Path) -> str:
    """Return the tuning method of a trained folder."""
    return str(read_settings(folder).get("tuning") or read_checkpoint(folder).tuning)


def load_judge(
    model: StageModel, folder: Path, progress: Progress | None = None, *, adapter: str = "reward"
) -> Judge:
    """Return the reward model of a folder; raise `BadInput` or `Unavailable` if it holds none.

    `adapter` is its role's name on a backbone. `progress` hears of the sentence encoder where one
    is fetched for it (None: the log).
    """
    _check_holds_reward(folder)
    check_made_for(model, folder, "reward model")
    anywhere = (folder / FEATURE_FILE).is_file() or heads_alone(folder)
    if anywhere or tuning_of(folder) == model.backbone.tuning:
        scorer = load_reward_scorer(model.backbone, folder, adapter, progress)
        return Judge(scorer, None)
    made_with = read_settings(folder).get("training", {})
    tuning = tuning_of(folder)
    usual = computing_dtype(model.device, tuning)
    own = load_backbone(
        model.folder,
        device=model.device,
        dtype=getattr(torch, made_with.get("dtype", ""), usual),
        top_layers=int(made_with.get("top_layers", model.profile.top_layers)),
        rank=int(made_with.get("rank", model.profile.rank)),
        tuning=tuning,
        virtual_tokens=int(made_with.get("virtual_tokens", model.profile.virtual_tokens)),
    )
    return Judge(load_reward_scorer(own, folder), own)


def load_policy(model: StageModel, folder: Path, adapter: str) -> str:
    """Load a policy's folder into an adapter and return its name.

    Raises `BadInput` or `Unavailable` where it holds no policy, or one of another model or method.
    """
    _check_holds_policy(folder)
    check_made_for(model, folder, "policy")
    if tuning_of(folder) != model.backbone.tuning:
        raise BadInput(
            f"The policy {folder} was trained with tuning {tuning_of(folder)}, not "
            f"{model.backbone.tuning}; give --tuning {tuning_of(folder)}."
        )
    model.backbone.load_adapter(adapter, folder)
    return adapter
