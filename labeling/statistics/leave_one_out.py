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
        # An annotator who judged a task more than once is left out with all of it.
        key = block.task * max(1, len(rankings.raters)) + block.rater
        _, own = np.unique(key, return_inverse=True)
        for outcomes in block.outcomes.T:
            label = 1 - outcomes.astype(np.int64)
            others = _counts(block, block.task, label) - _counts(block, own, label)
            highest = others.max(axis=1)
            top = others >= highest[:, None] - 1e-9
            held = top[np.arange(len(label)), label] / top.sum(axis=1)
            agreed[block.row] += held * (highest > 1e-9)
            of[block.row] += highest > 1e-9
    return agreed, of


def _counts(block: RankingBlock, group: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return (N, 3): the weight of each outcome in the group (N,) that each judgment is of."""
    size = len(OUTCOMES)
    groups = int(group.max(initial=-1)) + 1
    flat = np.bincount(group * size + label, weights=block.weight, minlength=groups * size)
    return flat.reshape(groups, size)[group]
