"""Plackett-Luce: abilities of items from whole rankings, by Hunter's minorize-maximize."""

from dataclasses import dataclass

import numpy as np

from labeling.reliability_models.bradley_terry import Abilities
from labeling.reliability_models.rankings import RankingBlock

_SMALLEST = 1e-300


def plackett_luce(
    block: RankingBlock,
    *,
    prior_shape: float = 2.0,
    tolerance: float = 1e-8,
    most_iterations: int = 2000,
) -> Abilities:
    """Fit the abilities γ of each task's completions to the task's rankings.

    A ranking is a row of choices, best first: each item is chosen, with probability γ_i / Σ γ_j,
    from itself and all that are not ranked before it (Plackett 1975; Luce 1959). Of tied items each
    is chosen from all of them (Breslow 1974). Hunter 2004, Annals of Statistics 32, 384-406, §5,
    eq. 30: γ_i becomes the number of choices of i over Σ 1/Σγ of the choices that i stood in. With
    a gamma prior on γ (Caron and Doucet 2012, Journal of Computational and Graphical Statistics 21,
    §3) `prior_shape` - 1 choices, and a rate of as many, are added to the two sides. The posterior
    never falls. The covariance is Laplace's, of log γ.

    Args:
        block: the rankings; `weight` counts a ranking for more or less than one.
        prior_shape: of the gamma prior; above 1, or 1 for maximum likelihood.
        tolerance: largest change of a log-ability at which a task has converged.
        most_iterations: iterations after which it is given up, `converged` being false.
    """
    choices = _Choices.of(block)
    extra = prior_shape - 1.0
    strength, moving = _climb(choices, extra, tolerance, most_iterations)
    scores = np.log(np.maximum(strength, _SMALLEST))
    return Abilities(
        scores,
        _covariance(choices, strength, extra),
        choices.log_likelihood(strength) + extra * (scores - strength).sum(axis=1),
        ~moving,
    )


def _climb(
    choices: "_Choices", extra: float, tolerance: float, most_iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the strengths (U, K), and which tasks (U,) have not converged."""
    count, k = choices.chosen.shape
    strength, moving = np.ones((count, k)), np.ones(count, dtype=bool)
    part = choices
    for _ in range(most_iterations):
        if not moving.any():
            break
        held = strength[moving]
        new = (part.chosen + extra) / np.maximum(part.exposure(held) + extra, _SMALLEST)
        if not extra:
            # The scale is free: without a prior nothing else keeps it.
            new *= k / new.sum(axis=1, keepdims=True)
        step = np.abs(np.log(np.maximum(new, _SMALLEST) / np.maximum(held, _SMALLEST))).max(axis=1)
        strength[moving] = new
        still = step > tolerance
        moving[moving] = still
        if not still.all():
            part = part.of_tasks(still)
    return strength, moving


@dataclass(frozen=True)
class _Choices:
    """The choices of N rankings of U tasks; a task's completions are K."""

    task: np.ndarray  #: (N,)
    weight: np.ndarray  #: (N,)
    among: np.ndarray  #: (N, K, K) float: whether column stood in the choice of row
    real: np.ndarray  #: (N, K) float: the weight of row's choice, 0 where there was no other
    chosen: np.ndarray  #: (U, K) the weight of the choices of each

    @classmethod
    def of(cls, block: RankingBlock) -> "_Choices":
        among = (block.ranks[:, None, :] >= block.ranks[:, :, None]).astype(float)
        real = (among.sum(axis=2) > 1) * block.weight[:, None]
        return cls(block.task, block.weight, among, real, block.per_task(real))

    def of_tasks(self, kept: np.ndarray) -> "_Choices":
        rows = kept[self.task]
        codes = np.cumsum(kept) - 1
        return _Choices(
            codes[self.task[rows]],
            self.weight[rows],
            self.among[rows],
            self.real[rows],
            self.chosen[kept],
        )

    def fields(self, strength: np.ndarray) -> np.ndarray:
        """Return (N, K) Σ γ over each choice, of strengths (U, K)."""
        return np.einsum("nij,nj->ni", self.among, strength[self.task])

    def exposure(self, strength: np.ndarray) -> np.ndarray:
        """Return (U, K): Σ 1/Σγ over the choices that each item stood in."""
        shares = self.real / np.maximum(self.fields(strength), _SMALLEST)
        return self.per_task(np.einsum("ni,nij->nj", shares, self.among))

    def per_task(self, values: np.ndarray) -> np.ndarray:
        count = len(self.chosen)
        columns = [np.bincount(self.task, weights=column, minlength=count) for column in values.T]
        return np.stack(columns, axis=1)

    def log_likelihood(self, strength: np.ndarray) -> np.ndarray:
        """Return (U,)."""
        own = np.log(np.maximum(strength[self.task], _SMALLEST))
        logs = self.real * (own - np.log(np.maximum(self.fields(strength), _SMALLEST)))
        return self.per_task(logs.sum(axis=1, keepdims=True))[:, 0]


def _covariance(choices: _Choices, strength: np.ndarray, extra: float) -> np.ndarray:
    """Return (U, K, K): the inverse of minus the second derivatives by log γ.

    Each choice adds diag(p) - p pᵀ, p being the chances within it; the prior adds its rate · γ.
    """
    count, k = strength.shape
    among = choices.among * strength[choices.task][:, None, :]
    chance = among / np.maximum(among.sum(axis=2, keepdims=True), _SMALLEST)
    weighted = chance * choices.real[:, :, None]
    outer = np.einsum("nci,ncj->nij", weighted, chance).reshape(len(chance), k * k)
    found = -choices.per_task(outer).reshape(count, k, k)
    diagonal = np.arange(k)
    found[:, diagonal, diagonal] += choices.per_task(weighted.sum(axis=1)) + extra * strength
    # Without a prior only differences are known; no difference sees a constant.
    level = 0.0 if extra else 1.0 / k
    return np.linalg.inv(found + level) - level
