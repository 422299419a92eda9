"""How the policy is fitted to demonstrations; apart from `sft.py`, which imports TRL."""

from dataclasses import dataclass

from reward.training.setting_bounds import above, at_least, finite, within
from storage.errors import BadInput


@dataclass(frozen=True)
class SFTSettings:
    """Say how the policy is fitted to demonstrations; the defaults are for 10 to 500 of them."""

    min_new: int = 10  #: demonstrations never trained on below which the last SFT is kept
    epochs: int = 4  #: passes over the demonstrations, at most
    max_steps: int = 200  #: optimiser steps, at most
    batch: int = 8  #: demonstrations whose gradients make one optimiser step
    micro_batch: int = 4  #: demonstrations in memory at once; halved when memory runs out
    max_tokens: int = 512  #: longer demonstrations (prompt and answer) are left out
    learning_rate: float = 1e-3  #: AdamW's, after warm-up; falls linearly to 0
    warmup_share: float = 0.1  #: share of the steps over which the learning rate rises
    weight_decay: float = 0.0  #: AdamW's
    max_grad_norm: float = 1.0  #: the gradient is scaled down to this norm
    save_steps: int = 20  #: steps between two progress checkpoints

    def __post_init__(self) -> None:
        """Raise `BadInput` naming a setting that is out of its bounds."""
        at_least("sft", self, 1, "epochs", "max_steps", "batch", "micro_batch", "save_steps")
        at_least("sft", self, 0, "min_new")
        at_least("sft", self, 2, "max_tokens")
        finite("sft", self, 0, "learning_rate", "weight_decay")
        within("sft", self, 0, 1, "warmup_share")
        above("sft", self, 0, "max_grad_norm")

    @property
    def accumulation(self) -> int:
        """Return how many micro-batches make a batch; raise `BadInput` where it is no integer."""
        micro = min(self.micro_batch, self.batch)
        if self.batch % micro:
            raise BadInput(
                f"Setting training.sft.batch is {self.batch}, which {micro} (micro_batch) does not "
                "divide; choose a multiple."
            )
        return self.batch // micro
