"""The value role: what a completion is expected to score, read off the reference's states."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ValueModel(nn.Module):
    """A small network on the reference's hidden states, which never change.

    It is read at the position before each token. The reference's states are there anyway, for its
    log-probabilities, so a value costs no pass through the backbone, neither in the rollout nor in
    the updates (docs/decisions/0006).
    """

    def __init__(self, hidden_size: int, width: int = 256) -> None:
        """Start at zero everywhere."""
        super().__init__()
        self.inner = nn.Linear(hidden_size, width)
        self.outer = nn.Linear(width, 1)
        self.straight = nn.Linear(hidden_size, 1)
        for layer in (self.outer, self.straight):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return the values (N,) of the reference's states (N, H)."""
        states = features.float()
        curved: Tensor = self.outer(F.gelu(self.inner(states)))[:, 0]
        straight: Tensor = self.straight(states)[:, 0]
        return curved + straight

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: float) -> None:
        """Begin as the reward model's head: `weight` (H,) and `bias`.

        Ouyang et al. 2022, appendix C.4: the value function starts from the reward model. The head
        was fitted to the mean of an answer's states under the reward model's own weights, and here
        it reads one state of the reference at a time, so it is a start and no more.
        """
        self.straight.weight.copy_(weight[None])
        self.straight.bias.fill_(bias)
