"""What is reported of a step of the reward model's optimiser, by the names of TRL's RewardTrainer.

The accuracy is that of the comparisons it is fitted to, before the step: it says how the fit goes,
and not what the model is worth.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Sums = list[float]
SUMMED = 7  # numbers that a part adds up


@torch.no_grad()
def sums_of(losses: Tensor, scores: Sequence[Tensor], pairs: Sequence[Tensor]) -> Sums:
    """Return what `step_metrics` takes of some rankings; those of parts and processes are added up.

    Args:
        losses: (H, R) of R rankings by every head.
        scores: (H, K) raw scores of each ranking.
        pairs: (P, 2) positions of each ranking's comparisons, the better completion first.
    """
    means = [one.mean(0) for one in scores]
    margins = torch.cat(
        [one[of[:, 0]] - one[of[:, 1]] for one, of in zip(means, pairs, strict=True)]
    )
    right = (margins > 0).sum() + 0.5 * (margins == 0).sum()
    return [
        float(losses.mean(0).sum()),
        float(losses.shape[1]),
        float(right),
        float(margins.sum()),
        float(len(margins)),
        float(torch.cat(means).sum()),
        float(sum(len(one) for one in means)),
    ]


def step_metrics(sums: Sequence[float]) -> dict[str, float]:
    """Return the step's mean `loss` over rankings, and over its comparisons and completions:

    `accuracy`, the share in the right order (equal scores count half), `margin`, the mean Δr in
    nats, and `mean_reward`, the mean raw score. Rankings of ties alone have only the first and the
    last.
    """
    loss, rankings, right, margin, pairs, reward, completions = sums
    metrics = {"loss": loss / max(rankings, 1.0)}
    if pairs:
        metrics |= {"accuracy": right / pairs, "margin": margin / pairs}
    return {**metrics, "mean_reward": reward / max(completions, 1.0)}
