"""Rankings as arrays, one block for each number of completions: what the models are fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

#: Outcomes of a pair of positions i < j, in the order of their codes.
OUTCOMES = (1, 0, -1)
#: Where each outcome goes when the pair is turned round.
TURNED = (2, 1, 0)


@dataclass(frozen=True)
class RankingBlock:
    """Hold N rankings of K completions each, of U tasks.

    `task` (N,) is a position in `tasks` (U,), the task ids; `rater` (N,) a position in the raters
    of all blocks; `ranks` (N, K) 1 is best, equal is a tie; `weight` (N,) how much each counts;
    `row` (N,) where the ranking stood in what the blocks were made of.
    """

    tasks: np.ndarray
    task: np.ndarray
    rater: np.ndarray
    ranks: np.ndarray
    weight: np.ndarray
    row: np.ndarray

    @property
    def k(self) -> int:
        """Return K."""
        return int(self.ranks.shape[1])

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the P = K(K-1)/2 pairs of positions as two arrays (P,), the lower one first."""
        first, second = np.triu_indices(self.k, 1)
        return first, second

    @cached_property
    def outcomes(self) -> np.ndarray:
        """Return (N, P) int8: 1 where the first of the pair is better, -1 the second, 0 tied."""
        first, second = self.pairs
        order = np.sign(self.ranks[:, second].astype(np.int16) - self.ranks[:, first])
        return order.astype(np.int8)

    def of_tasks(self, kept: np.ndarray) -> "RankingBlock":
        """Return the rankings of the tasks where `kept` (U,) holds."""
        rows = kept[self.task]
        codes = np.cumsum(kept) - 1
        return RankingBlock(
            self.tasks[kept],
            codes[self.task[rows]],
            self.rater[rows],
            self.ranks[rows],
            self.weight[rows],
            self.row[rows],
        )

    def weighed(self, of_rater: np.ndarray) -> "RankingBlock":
        """Return the same rankings, each counting by its rater's weight (R,) too."""
        return replace(self, weight=self.weight * of_rater[self.rater])

    def per_task(self, values: np.ndarray) -> np.ndarray:
        """Return (U, M): the sums over each task's rankings of values (N, M)."""
        found = np.empty((len(self.tasks), values.shape[1]))
        for place in range(values.shape[1]):
            found[:, place] = np.bincount(
                self.task, weights=values[:, place], minlength=len(self.tasks)
            )
        return found

    def outcome_counts(self) -> np.ndarray:
        """Return (U, P, 3): the weight of the rankings with each outcome, as `OUTCOMES` has them.

        A task's pair that nobody ranked cannot be: every task of a block has a ranking.
        """
        counts = [
            self.per_task((self.outcomes == outcome) * self.weight[:, None]) for outcome in OUTCOMES
        ]
        return np.stack(counts, axis=-1)

    def wins(self) -> np.ndarray:
        """Return (U, K, K): the weight of rankings with row before column, ties half of one."""
        return wins_of(self.outcome_counts(), self.k)


@dataclass(frozen=True)
class Rankings:
    """Hold all rankings by blocks of one K, and the raters (R,) that the blocks' codes name."""

    blocks: tuple[RankingBlock, ...]
    raters: np.ndarray


def rankings_of(
    task_id: Any, annotator_id: Any, ranks: Any, *, k: Any = None, weight: Any = None
) -> Rankings:
    """Return the rankings in columns (N,) of task and annotator ids.

    `ranks` is an array (N, M), of which the first `k` (N,) hold, as in `JudgmentColumns`; or, with
    `k` None, a sequence of N lists. `weight` (N,) is 1 where it is None. A ranking of one
    completion, or of weight 0, is left out.
    """
    table, lengths = _padded(ranks, k)
    names, rater = np.unique(np.asarray(annotator_id), return_inverse=True)
    tasks = np.asarray(task_id)
    weights = np.ones(len(tasks)) if weight is None else np.asarray(weight, dtype=float)
    blocks = []
    for length in np.unique(lengths[lengths > 1]):
        rows = np.flatnonzero((lengths == length) & (weights > 0))
        if not len(rows):
            continue
        found, codes = np.unique(tasks[rows], return_inverse=True)
        blocks.append(
            RankingBlock(found, codes, rater[rows], table[rows, :length], weights[rows], rows)
        )
    return Rankings(tuple(blocks), names)


def _padded(ranks: Any, k: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return ranks (N, M) padded with 0, and how many of each row hold."""
    if k is not None:
        return np.asarray(ranks), np.asarray(k).astype(int)
    lists: Sequence[Sequence[int]] = list(ranks)
    lengths = np.array([len(one) for one in lists], dtype=int)
    table = np.zeros((len(lists), int(lengths.max(initial=0))), dtype=np.int8)
    for length in np.unique(lengths[lengths > 0]):
        rows = np.flatnonzero(lengths == length)
        table[rows, :length] = np.array([lists[row] for row in rows.tolist()])
    return table, lengths


def wins_of(shares: np.ndarray, k: int) -> np.ndarray:
    """Return (U, K, K) from shares (U, P, 3) of outcomes: row before column, a tie half of one."""
    first, second = np.triu_indices(k, 1)
    found = np.zeros((len(shares), k, k))
    found[:, first, second] = shares[..., 0] + shares[..., 1] / 2
    found[:, second, first] = shares[..., 2] + shares[..., 1] / 2
    return found


def ranks_by_score(scores: np.ndarray, *, same: float = 1e-9) -> np.ndarray:
    """Return dense ranks (U, K) of scores (U, K), the highest first; within `same` is a tie."""
    order = np.argsort(-scores, axis=1, kind="stable")
    sorted_scores = np.take_along_axis(scores, order, axis=1)
    falls = np.diff(sorted_scores, axis=1) < -same
    places = np.concatenate([np.zeros((len(scores), 1), dtype=int), falls.cumsum(axis=1)], axis=1)
    ranks = np.empty(scores.shape, dtype=int)
    np.put_along_axis(ranks, order, places + 1, axis=1)
    return ranks


def as_rankings(judged: Any, weights: Any = None) -> Rankings:
    """Return the rankings of a table (task_id, annotator_id, ranks as lists) or `JudgmentColumns`.

    `weights` maps annotator ids to how much each counts; who is not named counts 1.
    """
    k = None if isinstance(judged, pd.DataFrame) else judged.k
    found = np.asarray(judged.annotator_id)
    weight = None
    if weights is not None:
        names, codes = np.unique(found, return_inverse=True)
        weight = np.array([float(weights.get(name, 1.0)) for name in names.tolist()])[codes]
    return rankings_of(judged.task_id, found, judged.ranks, k=k, weight=weight)
