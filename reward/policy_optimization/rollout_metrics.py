"""What is reported of a rollout, by the names that TRL and summarize-from-feedback use."""

from collections.abc import Sequence

import torch
from torch import Tensor

from reward.policy_optimization.rollout import RolloutPart
from reward.training.processes import Processes


def rollout_metrics(
    parts: Sequence[RolloutPart],
    kl_coefficient: float,
    missing_eos_penalty: float,
    processes: Processes,
) -> dict[str, float]:
    """Return the figures of a whole rollout, over all processes.

    `objective/scores` is what the reward function gave, less the penalty for answers that were cut;
    `objective/kl` is the mean of Σ (log π − log π_ref) over a completion, in nats, and
    `objective/entropy` that of Σ −log π, an estimate from the sampled tokens.
    `objective/rlhf_reward` is score plus what the KL took.
    `sampling/sampling_logp_difference/…` is how far the sampler's log π of a token is from the one
    that the ratio is taken to, in nats: 0 where the sampler's is taken.
    """
    tokens = sum(part.tokens for part in parts)
    completions = sum(len(part.scores) for part in parts)
    kl = sum(float((part.log_probs - part.reference_log_probs).sum()) for part in parts)
    surprise = -sum(float(part.log_probs.sum()) for part in parts)
    scores = sum(float((part.scores - missing_eos_penalty * ~part.ended).sum()) for part in parts)
    rewards = sum(float(part.rewards.sum()) for part in parts)
    ended = sum(float(part.ended.sum()) for part in parts)
    final = sum(float(part.final_scores.sum()) for part in parts)
    apart = [(part.log_probs - part.sampler_log_probs).abs() for part in parts]
    gaps = sum(float(gap.sum()) for gap in apart)
    widest = max((float(gap.max()) for gap in apart), default=0.0)
    sums = processes.sum(tokens, completions, kl, surprise, scores, rewards, ended, final, gaps)
    tokens_all, count = sums[0], sums[1]
    return {
        "objective/scores": sums[4] / count,
        "objective/kl": sums[2] / count,
        "objective/entropy": sums[3] / count,
        "objective/rlhf_reward": sums[5] / count,
        "objective/non_score_reward": (sums[5] - sums[7]) / count,
        "objective/kl_coefficient": kl_coefficient,
        "val/explained_variance": _explained_variance(parts, processes),
        "val/mean_tokens": tokens_all / count,
        "val/ended": sums[6] / count,
        "val/completions": count,
        "sampling/sampling_logp_difference/mean": sums[8] / tokens_all,
        "sampling/sampling_logp_difference/max": max(processes.gather(widest)),
    }


def sums_of_scores(
    parts: Sequence[RolloutPart], processes: Processes
) -> tuple[float, float, float]:
    """Return count, mean and sum of squared distances of the scores, over all processes."""
    scores = torch.cat([part.scores for part in parts]) if parts else torch.zeros(0)
    return _moments(scores, processes)


def _explained_variance(parts: Sequence[RolloutPart], processes: Processes) -> float:
    empty = [torch.zeros(0)]
    returns = torch.cat([part.returns[part.batch.mask] for part in parts] or empty)
    values = torch.cat([part.values[part.batch.mask] for part in parts] or empty)
    left = _moments(returns - values, processes)[2]
    whole = _moments(returns, processes)[2]
    return 1.0 - left / max(whole, 1e-8)


def _moments(numbers: Tensor, processes: Processes) -> tuple[float, float, float]:
    count, total = processes.sum(len(numbers), float(numbers.double().sum()))
    mean = total / max(count, 1.0)
    (squares,) = processes.sum(float(((numbers.double() - mean) ** 2).sum()))
    return count, mean, squares
