"""Which optimizer moves the policy, and the sizes of those that are TRL's; it imports no TRL."""

from dataclasses import dataclass

from reward.training.setting_bounds import above, at_least, finite
from storage.errors import BadInput

OPTIMIZERS = ("ppo", "rloo", "grpo", "dpo")


@dataclass(frozen=True)
class OptimizerSettings:
    """Say which optimizer moves the policy; all but `optimizer` is for rloo, grpo and dpo."""

    optimizer: str = "ppo"  #: ppo (sized by the section ppo), rloo, grpo or dpo
    steps: int = 20  #: rollouts, each followed by its updates (rloo, grpo); updates (dpo)
    prompts: int = 8  #: prompts of a rollout
    generations: int = 4  #: completions that are sampled for each prompt of a rollout
    updates: int = 1  #: optimizer steps on one rollout (rloo, grpo)
    pairs: int = 16  #: comparisons in an optimizer step (dpo)
    micro_batch: int = (
        8  #: sequences in memory at once; it divides prompts x generations, and pairs
    )
    learning_rate: float = 5e-4  #: AdamW's, constant (rloo, grpo)
    dpo_learning_rate: float = 1e-4  #: AdamW's, constant (dpo)
    kl_coefficient: float = 0.05  #: weight of the KL to the reference (rloo, grpo)
    dpo_beta: float = 0.1  #: how firmly dpo holds on to the reference
    clip: float = 0.2  #: most that a probability ratio may leave 1 by (rloo, grpo)
    missing_eos_penalty: float = 0.3  #: as PPO's: taken from the score of an answer that was cut
    max_grad_norm: float = 1.0  #: the gradient is scaled down to this norm

    def __post_init__(self) -> None:
        """Raise `BadInput` naming a setting that has no such value."""
        if self.optimizer not in OPTIMIZERS:
            raise BadInput(
                f"Setting training.optimizer.optimizer is {self.optimizer!r} but must be one of "
                f"{', '.join(OPTIMIZERS)}."
            )
        at_least("optimizer", self, 1, "steps", "prompts", "updates", "pairs", "micro_batch")
        at_least("optimizer", self, 2, "generations")
        finite("optimizer", self, 0, "learning_rate", "dpo_learning_rate", "kl_coefficient")
        finite("optimizer", self, 0, "missing_eos_penalty")
        above("optimizer", self, 0, "dpo_beta", "clip", "max_grad_norm")

    @property
    def rollout(self) -> int:
        """Return how many completions a rollout has."""
        return self.prompts * self.generations
