"""Leave-one-out agreement: each judgment beside what most of the others say."""

import numpy as np

from labeling.reliability_models.rankings import OUTCOMES, RankingBlock, Rankings


def leave_one_out(rankings: Rankings, judgments: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each judgment how many of its pairs the others agree with, and of how many.

    Both (judgments,), in the order that the rankings were given in. A pair counts where another
    annotator has judged the task; it agrees where its outcome is the one that most of the others
    gave, and by the n-th part where n outcomes have as many. The annotator's own judgments are
    never among the others.
    """
    agreed, of = np.zeros(judgments), np.zeros(judgments)
    for block in rankings.blocks:
        counts = block.outcome_counts()
        own = _own_counts(block)
        others = [counts[block.task, :, code] - own[code] for code in range(len(OUTCOMES))]
        highest = np.maximum.reduce(others)
        drawn = sum((other >= highest - 1e-9).astype(float) for other in others)
        held = np.choose(1 - block.outcomes, others)
        seen = highest > 1e-9
        agreed[block.row] = (seen * (held >= highest - 1e-9) / drawn).sum(axis=1)
        of[block.row] = seen.sum(axis=1)
    return agreed, of


def _own_counts(block: RankingBlock) -> list[np.ndarray]:
    """Return (N, P) for each outcome: the weight that the judgment's annotator gave it."""
    # An annotator who judged a task more than once is left out with all of it.
    key = block.task * (int(block.rater.max(initial=0)) + 1) + block.rater
    _, code = np.unique(key, return_inverse=True)
    found = []
    for outcome in OUTCOMES:
        said = (block.outcomes == outcome) * block.weight[:, None]
        columns = [np.bincount(code, weights=column)[code] for column in said.T]
        found.append(np.stack(columns, axis=1))
    return found
