"""Advantages and masked statistics: pure functions on (B, T) tensors of answer tokens."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `values` (any shape) where `mask` (same shape, bool) holds: a scalar."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whiten_together(parts: Sequence[Tensor], sum_all: Callable[..., list[float]]) -> list[Tensor]:
    """Shift and scale the numbers of all parts (each any shape) to mean 0 and variance 1.

    The variance is the population's (1/N), with 1e-8 added under the root. `sum_all` sums numbers
    over all processes, so that their parts count as one.
    """
    count, total = sum_all(
        sum(part.numel() for part in parts), sum(float(part.double().sum()) for part in parts)
    )
    mean = total / max(count, 1.0)
    (squares,) = sum_all(sum(float(((part.double() - mean) ** 2).sum()) for part in parts))
    scale = (squares / max(count, 1.0) + 1e-8) ** -0.5
    return [(part - mean) * scale for part in parts]


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coefficient: float) -> Tensor:
    """Return the reward of each token: −β·KL of the token, and the score at the last token.

    Ziegler et al. 2019, §2.2: R = r − β log(π/ρ), the KL term spread over the tokens. `scores` is
    (B,), everything else (B, T) with answers starting at column 0; `kl` as `kl_estimate` gives it.
    """
    rewards = -kl_coefficient * kl * mask
    last = mask.sum(1) - 1
    rewards[torch.arange(len(rewards)), last] += scores
    return rewards


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Return advantages and returns, both (B, T), by GAE (Schulman et al. 2016, eq. 16).

    δ_t = r_t + γ V_{t+1} − V_t and A_t = δ_t + γ λ A_{t+1}; beyond the last answer token both V and
    A are 0. `values[:, t]` is read at the position that predicts token t. Returns are A + V.
    """
    rewards, values = rewards * mask, values * mask
    advantages = torch.zeros_like(rewards)
    following = torch.zeros(len(rewards), device=rewards.device)
    width = rewards.shape[1]
    for t in reversed(range(width)):
        next_value = values[:, t + 1] if t + 1 < width else torch.zeros_like(following)
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = (delta + gamma * lam * following) * mask[:, t]
        advantages[:, t] = following
    return advantages, (advantages + values) * mask


def clipped_policy_loss(ratio: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Return the clipped surrogate, a scalar to minimise (Schulman et al. 2017, eq. 7)."""
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1.0 - clip, 1.0 + clip)
    return masked_mean(torch.maximum(unclipped, clipped), mask)


def clip_binds(ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Return 1 where the bound on the ratio takes the gradient away, else 0, all (B, T).

    A ratio beyond the bound on the side that lowers the objective is not held back, so it does not
    count, as in TRL's `policy/clipfrac_avg`.
    """
    return ((ratio - 1.0) * advantages.sign() > clip).to(ratio.dtype)


def clipped_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float
) -> Tensor:
    """Return half the clipped squared error of the value, a scalar to minimise.

    The new value may move at most `clip` from the rollout's (Huang et al. 2024, "The N+
    implementation details of RLHF with PPO", detail on value clipping).
    """
    bounded = old_values + (values - old_values).clamp(-clip, clip)
    worse = torch.maximum((values - returns) ** 2, (bounded - returns) ** 2)
    return 0.5 * masked_mean(worse, mask)
