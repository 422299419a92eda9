"""The KL to the reference: estimates of it from samples, and how its price is set."""

from typing import Literal, Protocol

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]
LARGEST_ERROR = 0.2  # of the KL against its target, as a share, that β is moved by


def kl_estimate(log_probs: Tensor, reference_log_probs: Tensor, kind: Estimator) -> Tensor:
    """Estimate KL(π ‖ π_ref) at each sampled token; all tensors have one shape.

    With d = log π − log π_ref: k1 = d (unbiased, may be negative), k2 = d²/2 (biased, never
    negative), k3 = e^−d − 1 + d (unbiased, never negative). Schulman 2020, "Approximating KL
    divergence".
    """
    difference = log_probs - reference_log_probs
    if kind == "k1":
        return difference
    if kind == "k2":
        return 0.5 * difference**2
    return torch.expm1(-difference) + difference


class KLController(Protocol):
    """Holds β, the reward taken for each nat, and hears how far the policy is."""

    coefficient: float

    def update(self, kl: float, completions: int) -> None:
        """Hear the mean KL (nats a completion) of a rollout of so many completions."""


class FixedKL:
    """A β that stays."""

    def __init__(self, coefficient: float) -> None:
        """Keep the coefficient."""
        self.coefficient = coefficient

    def update(self, kl: float, completions: int) -> None:
        """Do nothing."""
        del kl, completions


class AdaptiveKL:
    """A β that is steered towards a target KL by a proportional controller.

    e = clip(KL / target − 1, −0.2, 0.2); β ← β (1 + e · completions / horizon). Ziegler et al.
    2019, §2.2.
    """

    def __init__(self, coefficient: float, target: float, horizon: float) -> None:
        """Start at a coefficient; `target` is in nats a completion."""
        self.coefficient = coefficient
        self.target = target
        self.horizon = horizon

    def update(self, kl: float, completions: int) -> None:
        """Raise β where the policy is further than the target, lower it where it is nearer."""
        error = min(max(kl / self.target - 1.0, -LARGEST_ERROR), LARGEST_ERROR)
        self.coefficient *= 1.0 + error * completions / self.horizon


def kl_controller(coefficient: float, target: float, horizon: float) -> KLController:
    """Return a controller that is adaptive where there is a target, else fixed."""
    return AdaptiveKL(coefficient, target, horizon) if target > 0 else FixedKL(coefficient)
