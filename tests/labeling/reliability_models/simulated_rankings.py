"""Rankings by raters of known ability, of completions of known quality."""

from dataclasses import dataclass

import numpy as np

from labeling.reliability_models.rankings import Rankings, rankings_of


@dataclass(frozen=True)
class Simulated:
    """Columns of judgments (N,), and what they were drawn from."""

    task: np.ndarray
    rater: np.ndarray
    ranks: np.ndarray
    quality: np.ndarray  #: (U, K)
    ability: np.ndarray  #: (R,)

    @property
    def rankings(self) -> Rankings:
        return rankings_of(self.task, self.rater, self.ranks.tolist())


def simulate(
    ability: list[float], *, tasks: int, k: int = 3, overlap: int = 3, seed: int = 0
) -> Simulated:
    """Let `overlap` raters rank each task: by quality, every pair of neighbours wrong by chance.

    A rater with ability a swaps each two neighbours of the right order with probability 1 - a.
    """
    rng = np.random.default_rng(seed)
    chance = np.array(ability)
    quality = rng.permuted(np.tile(np.arange(k), (tasks, 1)), axis=1)
    rater = np.concatenate([rng.permutation(len(ability))[:overlap] for _ in range(tasks)])
    task = np.repeat(np.arange(tasks), overlap)
    order = np.argsort(-quality[task], axis=1)
    for place in range(k - 1):
        swap = rng.random(len(task)) > chance[rater]
        order[swap, place], order[swap, place + 1] = order[swap, place + 1], order[swap, place]
    ranks = np.argsort(order, axis=1) + 1
    return Simulated(task, rater, ranks, quality, chance)
