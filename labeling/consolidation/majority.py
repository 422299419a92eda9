"""The label that most annotators of a task would agree with."""

import numpy as np

from labeling.reliability_models.rankings import ranks_by_score, wins_of


def copeland_ranks(shares: np.ndarray, k: int) -> np.ndarray:
    """Return dense ranks (U, K) from what is said of every pair: shares (U, P, 3) of outcomes.

    The outcome with the largest share holds for a pair (a draw of the largest is a tie), and the
    completions are ordered by the number of pairs that they win, ties half: Copeland 1951, as in
    Brandt et al. 2016, Handbook of Computational Social Choice, §2.4 and §3. Where the outcomes are
    a ranking with ties, it is that ranking; a circle of completions that beat each other is a tie.
    """
    highest = shares.max(axis=2, keepdims=True)
    holds = (shares >= highest - 1e-9).astype(float)
    drawn = holds.sum(axis=2) > 1
    holds[drawn] = [0.0, 1.0, 0.0]
    return ranks_by_score(wins_of(holds, k).sum(axis=2))


def dissent(counts: np.ndarray, ranks: np.ndarray, *, credit: float) -> np.ndarray:
    """Return (U,): the chance that one more annotator disagrees, mean over the pairs of a ranking.

    A pair's outcomes have `counts` (U, P, 3); each is credited with a third of `credit` votes
    before (a Dirichlet prior with parameters credit/3: Perks 1947 for credit 1), so that one
    judgment alone is not certain. `ranks` (U, K) is the label that is disagreed with.
    """
    held = label_counts(counts, ranks)
    total = counts.sum(axis=2)
    return (1.0 - (held + credit / 3) / (total + credit)).mean(axis=1)


def label_counts(counts: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return (U, P): of counts (U, P, 3), those of the outcome that `ranks` (U, K) gives a pair."""
    first, second = np.triu_indices(ranks.shape[1], 1)
    code = 1 - np.sign(ranks[:, second] - ranks[:, first])
    return np.take_along_axis(counts, code[:, :, None], axis=2)[:, :, 0]
