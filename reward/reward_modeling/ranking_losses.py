"""Losses of one ranking: what its scores should have been, as pure functions of tensors.

Scores are (K,) for one head or (H, K) for H of them; every loss is a mean over what one ranking
compares, so that a ranking counts once however many completions it has (Ouyang et al. 2022, §3.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from labeling.judging.rankings import pairs_of, ties_of

LOSSES = ("log_sigmoid", "margin", "score_difference", "plackett_luce")
TIES = ("drop", "half")


@dataclass(frozen=True)
class Comparisons:
    """What one ranking of K completions says.

    `pairs` (P, 2) positions, the better one first; `targets` (P,) the probability that the first is
    the better one; `gaps` (P,) by how much, 0 for a tie; `competitors` (K, K) is True at (i, j)
    where j could have been chosen and i was; `smoothing` is the share of labels taken to be wrong.
    """

    pairs: Tensor
    targets: Tensor
    gaps: Tensor
    competitors: Tensor
    smoothing: float = 0.0


def comparisons_of(
    ranks: Sequence[int],
    *,
    ties: str = "drop",
    smoothing: float = 0.0,
    strength: float | None = None,
    scores: Sequence[float] | None = None,
    device: torch.device | None = None,
) -> Comparisons:
    """Return what a ranking says.

    Args:
        ranks: (K,) 1 is best, equal ranks are a tie.
        ties: `drop` leaves tied completions uncompared; `half` wants either chance at one half.
        smoothing: share of strict labels taken to be wrong, in [0, 0.5).
        strength: by how much the better of two completions is preferred, from 0 to 3; with K = 2.
        scores: (K,) what the annotator scored the completions.
        device: where the tensors go.
    """
    strict = pairs_of(ranks)
    tied = ties_of(ranks) if ties == "half" else []
    gaps = [_gap(better, worse, ranks, strength, scores) for better, worse in strict]
    rank = torch.tensor(list(ranks), device=device)
    competitors = rank[None, :] > rank[:, None]
    if ties == "half":
        competitors = rank[None, :] >= rank[:, None]
    return Comparisons(
        pairs=torch.tensor([*strict, *tied], device=device, dtype=torch.long).reshape(-1, 2),
        targets=torch.tensor(
            [1.0 - smoothing] * len(strict) + [0.5] * len(tied), device=device, dtype=torch.float32
        ),
        gaps=torch.tensor([*gaps, *[0.0] * len(tied)], device=device, dtype=torch.float32),
        competitors=competitors | torch.eye(len(ranks), dtype=torch.bool, device=device),
        smoothing=smoothing,
    )


def _gap(
    better: int,
    worse: int,
    ranks: Sequence[int],
    strength: float | None,
    scores: Sequence[float] | None,
) -> float:
    if scores is not None:
        return max(0.0, float(scores[better]) - float(scores[worse]))
    if strength is not None and len(ranks) == 2:
        return float(strength)
    return float(ranks[worse] - ranks[better])


def ranking_loss(scores: Tensor, said: Comparisons, loss: str, margin: float) -> Tensor:
    """Return the loss called `loss` of a ranking's scores (K,) or (H, K): a scalar or (H,).

    `margin` is what one unit of the gap asks for (only the loss `margin` reads it). A ranking that
    compares nothing costs 0. Raises `ValueError` on an unknown loss.
    """
    if loss == "plackett_luce":
        return plackett_luce(scores, said.competitors, said.smoothing)
    if len(said.pairs) == 0:
        return scores.sum(-1) * 0.0
    if loss == "log_sigmoid":
        return log_sigmoid(scores, said.pairs, said.targets)
    if loss == "margin":
        return margin_log_sigmoid(scores, said.pairs, said.targets, margin * said.gaps)
    if loss == "score_difference":
        return score_difference(scores, said.pairs, said.targets, said.gaps)
    raise ValueError(f"there is no loss {loss}; the losses are {', '.join(LOSSES)}")


def log_sigmoid(scores: Tensor, pairs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of −t·log σ(Δr) − (1 − t)·log σ(−Δr) over a ranking's pairs.

    Ouyang et al. 2022, eq. 1, for t = 1. A label that is wrong with probability ε has t = 1 − ε
    (Mitchell 2023, "A note on DPO with noisy preferences"); a tie has t = ½.

    Args:
        scores: (K,) or (H, K).
        pairs: (P, 2), the better position first.
        targets: (P,) the probability t that the first is the better one.
    """
    return _pair_losses(_differences(scores, pairs), targets, torch.zeros_like(targets))


def margin_log_sigmoid(scores: Tensor, pairs: Tensor, targets: Tensor, margins: Tensor) -> Tensor:
    """Return the mean of −log σ(Δr − m) over a ranking's pairs.

    Touvron et al. 2023 (Llama 2), §3.2.2, eq. 2: m is 1, ⅔, ⅓ or 0 there, from "significantly
    better" to "negligibly better" (table 27, the small margin). `margins` is (P,); a label that is
    wrong (probability 1 − t) asks for the same margin the other way round.
    """
    return _pair_losses(_differences(scores, pairs), targets, margins)


def score_difference(scores: Tensor, pairs: Tensor, targets: Tensor, gaps: Tensor) -> Tensor:
    """Return the mean of −log σ(Δr·Δscore²) over a ranking's pairs.

    Ozdemir 2023, Quick Start Guide to Large Language Models, ch. 8 (SAWYER). `gaps` (P,) is Δscore.
    A gap of 0, as ties have, multiplies Δr away and teaches nothing.
    """
    return _pair_losses(_differences(scores, pairs) * gaps**2, targets, torch.zeros_like(gaps))


def plackett_luce(scores: Tensor, competitors: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean negative log-likelihood of a ranking's choices, best first.

    Luce 1959; Plackett 1975; for reward models Zhu et al. 2023 (K-wise comparisons). Each
    completion is chosen from itself and its `competitors` (K, K): all that are ranked worse, and,
    where ties are to be half and half, those it ties with (Breslow 1974's rule). A choice without a
    competitor is none. Smoothing gives the share ε of each choice to the others alike (Szegedy et
    al. 2016, §7).
    Of two completions this is `log_sigmoid`, a tie included.
    """
    others = competitors.sum(-1) - 1
    chosen = others > 0
    if not bool(chosen.any()):
        return scores.sum(-1) * 0.0
    field = scores[..., None, :].masked_fill(~competitors, float("-inf"))
    norm = field.logsumexp(-1)
    own = norm - scores
    among = scores[..., None, :].masked_fill(~competitors, 0.0).sum(-1) - scores
    rest = norm - among / others.clamp(min=1)
    losses = (1.0 - smoothing) * own + smoothing * rest
    return losses[..., chosen].mean(-1)


def _differences(scores: Tensor, pairs: Tensor) -> Tensor:
    return scores[..., pairs[:, 0]] - scores[..., pairs[:, 1]]


def _pair_losses(differences: Tensor, targets: Tensor, margins: Tensor) -> Tensor:
    right = F.logsigmoid(differences - margins)
    wrong = F.logsigmoid(-differences - margins)
    return -(targets * right + (1.0 - targets) * wrong).mean(-1)
