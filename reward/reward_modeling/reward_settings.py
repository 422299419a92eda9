"""Settings of the reward model."""

from dataclasses import dataclass

from reward.reward_modeling.ranking_losses import LOSSES, TIES
from reward.training.setting_bounds import above, at_least, finite
from storage.errors import BadInput

POOLINGS = ("mean", "last")
HEAD = "head"  # the tuning method that trains nothing of the backbone
TUNINGS = ("", "feature", HEAD)


@dataclass(frozen=True)
class RewardSettings:
    """Say how the reward model is made and trained."""

    #: "feature" is a linear model on sentence embeddings, "head" one on the frozen model's states,
    #: and "" is tuned the backbone's way
    tuning: str = ""
    heads: int = 4  #: scalar heads on one adapter, each fitted to a bootstrap of the prompts
    conservatism: float = 0.25  #: a score is the heads' mean less so many of their deviations
    pooling: str = "mean"  #: what a head reads: the mean of the answer's states, or the last one
    loss: str = "log_sigmoid"  #: log_sigmoid, margin, score_difference or plackett_luce
    margin: float = 1 / 3  #: what one unit of strength, score or rank asks for, with loss = margin
    label_smoothing: float = 0.0  #: share of comparisons taken to be wrong
    ties: str = "drop"  #: tied completions are not compared (drop) or wanted alike (half)
    learning_rate: float = 5e-4  #: AdamW's, after warm-up; falls linearly to a tenth
    epochs: int = 4  #: passes over the rankings, at most
    max_steps: int = 50  #: optimiser steps, at most: many rankings want fewer passes
    newest_rankings: int = 400  #: rankings of each split that are used, the newest
    rankings_per_step: int = 4  #: rankings whose gradients make one optimiser step
    tokens_at_once: int = 4096  #: positions in one pass at most, unless one ranking has more
    warmup_steps: int = 4  #: optimiser steps over which the learning rate rises
    weight_decay: float = 0.01  #: AdamW's, on adapter and head
    max_grad_norm: float = 1.0  #: the gradient is scaled down to this norm
    min_comparisons: int = 10  #: comparisons that are not ties, without which nothing is fitted
    folds: int = 2  #: parts for the cross-fitted accuracy while rankings are few
    holdout_rankings: int = 60  #: with 5 times as many rankings, one held-out fifth replaces folds
    normalise_prompts: int = 24  #: train prompts whose reference completions score 0 ± 1
    progress_seconds: float = 10.0  #: between two progress checkpoints of a fit, at least

    def __post_init__(self) -> None:
        """Raise `BadInput` naming a setting that has no such value."""
        for name, known in (
            ("tuning", TUNINGS),
            ("pooling", POOLINGS),
            ("loss", LOSSES),
            ("ties", TIES),
        ):
            if getattr(self, name) not in known:
                wanted = ", ".join(repr(one) for one in known)
                raise BadInput(
                    f"Setting training.reward.{name} is {getattr(self, name)!r} but must be one of "
                    f"{wanted}."
                )
        at_least("reward", self, 1, "heads", "rankings_per_step", "tokens_at_once", "folds")
        at_least("reward", self, 1, "epochs", "max_steps", "newest_rankings")
        at_least("reward", self, 0, "warmup_steps", "min_comparisons", "holdout_rankings")
        at_least("reward", self, 0, "normalise_prompts", "progress_seconds")
        finite("reward", self, 0, "margin", "learning_rate", "weight_decay", "conservatism")
        above("reward", self, 0, "max_grad_norm")
        if not 0.0 <= self.label_smoothing < 0.5:
            raise BadInput("Setting training.reward.label_smoothing must be from 0 to below 0.5.")
