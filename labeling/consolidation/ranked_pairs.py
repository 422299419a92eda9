"""Ranked pairs: the clearest majorities first, and none that contradicts those before it."""

import numpy as np

from labeling.reliability_models.rankings import ranks_by_score


def ranked_pairs(wins: np.ndarray) -> np.ndarray:
    """Return dense ranks (U, K) from wins (U, K, K), how often row came before column.

    Tideman 1987, Social Choice and Welfare 4, 185-206, §3: pairs are locked in by falling margin
    (wins less losses) unless they close a circle with those locked before. Pairs of one margin are
    locked together, without those that would close a circle among them, so that neither the order
    of completions nor chance decides (Zavist and Tideman 1989 draw by lot there). A margin of 0
    locks nothing. What is locked is a partial order: completions are ranked by how many they stand
    above less how many above them, and equal ones are tied.
    """
    count, k = wins.shape[:2]
    margins = np.round(wins - wins.transpose(0, 2, 1), 9)
    locked = np.zeros((count, k, k), dtype=bool)
    level = np.full(count, np.inf)
    while True:
        below = np.where((margins > 0) & (margins < level[:, None, None]), margins, 0.0)
        level = below.max(axis=(1, 2))
        if not level.any():
            break
        new = (margins == level[:, None, None]) & (margins > 0)
        new &= ~locked.transpose(0, 2, 1)
        reach = _closure(locked | new)
        locked = _closure(locked | (new & ~reach.transpose(0, 2, 1)))
    above = locked.sum(axis=2).astype(float) - locked.sum(axis=1)
    return ranks_by_score(above)


def _closure(edges: np.ndarray) -> np.ndarray:
    """Return (U, K, K): whether a path of edges leads from row to column (Warshall 1962)."""
    found = edges.copy()
    for through in range(edges.shape[1]):
        found |= found[:, :, through, None] & found[:, None, through, :]
    return found
