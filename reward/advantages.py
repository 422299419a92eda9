"""Advantages and masked statistics: pure functions on (B, T) tensors of answer tokens."""

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `values` (any shape) where `mask` (same shape, bool) holds: a scalar."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def masked_whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over the masked entries; 0 elsewhere.

    The variance is the population's (1/N), with 1e-8 added under the root.
    """
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean) ** 2, mask)
    return (values - mean) * torch.rsqrt(variance + 1e-8) * mask


def token_rewards(
    scores: Tensor,
    log_probs: Tensor,
    reference_log_probs: Tensor,
    mask: Tensor,
    kl_coefficient: float,
) -> Tensor:
    """Return the reward of each token: −β·(log π − log π_ref), and the score at the last token.

    Ziegler et al. 2019, §2.2: R = r − β log(π/ρ), the KL term spread over the tokens (the k1
    estimator). `scores` is (B,), everything else (B, T) with answers starting at column 0.
    """
    rewards = -kl_coefficient * (log_probs - reference_log_probs) * mask
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
