"""What can be set about PPO, one line of words a field."""

from dataclasses import dataclass
from typing import Literal

from reward.policy_optimization.kl import LARGEST_ERROR
from reward.training.setting_bounds import above, at_least, finite, within
from storage.errors import BadInput


@dataclass(frozen=True)
class PPOSettings:
    """Say how the policy is moved."""

    iterations: int = 8  #: rollouts, each followed by its updates
    prompts_per_iteration: int = 32  #: completions in a rollout, one a prompt
    max_prompt_tokens: int = 80  #: longer prompts are left out of rollouts
    epochs: int = 3  #: passes over a rollout
    minibatches: int = 4  #: optimiser steps in a pass
    micro_batch: int = 0  #: completions in one forward pass; 0: a whole minibatch
    learning_rate: float = 1e-3  #: AdamW's, on the policy's adapter
    schedule: Literal["constant", "linear", "cosine"] = "constant"  #: of the learning rate
    value_learning_rate: float = 1e-3  #: AdamW's, on the value model
    value_epochs: int = 8  #: passes of the value model, which needs no pass through the backbone
    value_from_reward: bool = True  #: start the value model from the reward model's head
    kl_coefficient: float = 0.05  #: β, reward taken for each nat of log π − log π_ref
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"  #: of the KL in the reward
    kl_target: float = 0.0  #: nats a completion that β is steered to; 0: β is fixed
    kl_horizon: float = 200.0  #: completions over which an adaptive β moves by a fifth at most
    clip: float = 0.2  #: ε of the ratio
    value_clip: float = 1.0  #: most that a value may move from the rollout's
    max_update_kl: float = 0.0  #: approximate KL of an epoch that ends a rollout's epochs; 0: none
    gamma: float = 1.0  #: discount
    lam: float = 0.95  #: GAE's λ
    missing_eos_penalty: float = 0.3  #: taken from the score of an answer that was cut
    scale_rewards: bool = False  #: divide scores by their running standard deviation
    reward_clip: float = 0.0  #: scores are kept within ± this; 0: as they are
    ptx_coefficient: float = 0.0  #: weight of the pretraining loss (PPO-ptx); 0: none
    ptx_file: str = ""  #: JSONL with the pretraining texts, in a field `text`
    ptx_tokens: int = 256  #: longest piece of a pretraining text
    ptx_batch: int = 4  #: pretraining texts in an optimiser step
    max_grad_norm: float = 10.0  #: each role's gradient is scaled down to this norm
    sampled_tolerance: float = 1e-4  #: error of the ratio up to which log π is kept from sampling
    max_kl: float = 40.0  #: nats a completion from the reference, at most
    max_kl_rise: float = 12.0  #: nats a completion by which a round may move from where it began
    min_entropy: float = 0.5  #: share of the first rollout's entropy below which a policy collapses

    def __post_init__(self) -> None:
        """Raise `BadInput` naming a setting that is out of its bounds."""
        at_least("ppo", self, 1, "iterations", "prompts_per_iteration", "max_prompt_tokens")
        at_least("ppo", self, 1, "epochs", "minibatches", "ptx_batch")
        at_least("ppo", self, 2, "ptx_tokens")
        at_least("ppo", self, 0, "micro_batch", "value_epochs")
        finite("ppo", self, 0, "learning_rate", "value_learning_rate", "kl_coefficient")
        finite("ppo", self, 0, "kl_target", "max_update_kl", "missing_eos_penalty", "reward_clip")
        finite("ppo", self, 0, "ptx_coefficient", "sampled_tolerance")
        within("ppo", self, 0, 1, "gamma", "lam", "min_entropy")
        above("ppo", self, 0, "clip", "value_clip", "max_grad_norm", "max_kl", "max_kl_rise")
        least = LARGEST_ERROR * self.prompts_per_iteration
        if self.kl_target > 0 and not self.kl_horizon > least:
            raise BadInput(
                f"Setting training.ppo.kl_horizon is {self.kl_horizon:g} but must be above "
                f"{least:g}, a fifth of prompts_per_iteration: the price of KL would fall to 0 or "
                "below in one rollout."
            )
