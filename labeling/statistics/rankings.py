"""Rankings as arrays, with what every figure on them is made of: outcomes of pairs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from labeling.statistics.judgment_columns import JudgmentColumns
from labeling.statistics.unit_counts import Answers, UnitCounts, together

Ints = npt.NDArray[np.integer[Any]]

#: What `RankingsOfOneK.outcomes` holds where one of a pair was not ranked.
NOT_RANKED = 9


@dataclass(frozen=True, eq=False)
class RankingsOfOneK:
    """Hold the N rankings of tasks of one K, tasks ascending, the raters of a task in a row.

    task, rater, row: (N,), `row` the place in what they were made of; ranks (N, K), 1 is best and
    0 not ranked.
    """

    task: Ints
    rater: Ints
    row: Ints
    ranks: Ints

    @property
    def k(self) -> int:
        """Return how many completions a task has."""
        return int(self.ranks.shape[1])

    @cached_property
    def outcomes(self) -> npt.NDArray[np.int8]:
        """Return (N, K(K-1)/2): 1, -1 or 0 where i < j is better, worse, tied; or NOT_RANKED."""
        i, j = np.triu_indices(self.k, 1)
        # Column by column: one operation on all pairs would copy the ranks as often as there are.
        found = np.empty((len(self.ranks), len(i)), dtype=np.int8)
        for place, (one, other) in enumerate(zip(i, j, strict=True)):
            found[:, place] = np.sign(self.ranks[:, other] - self.ranks[:, one])
        if (self.ranks == 0).any():
            found[(self.ranks[:, i] == 0) | (self.ranks[:, j] == 0)] = NOT_RANKED
        return found

    @cached_property
    def complete(self) -> "RankingsOfOneK":
        """Return the rankings in which every completion is ranked."""
        keep = (self.ranks > 0).all(axis=1)
        if keep.all():
            return self
        return RankingsOfOneK(self.task[keep], self.rater[keep], self.row[keep], self.ranks[keep])

    @property
    def average_ranks(self) -> npt.NDArray[np.float32]:
        """Return (N, K) with ties at the mean of the places that they share (1, 2.5, 2.5, 4).

        Of rankings that are complete. Dense ranks with more and fewer ties are not on one scale.
        """
        half = np.float32(0.5)
        places = np.full(self.ranks.shape, (self.k + 1) / 2, dtype=np.float32)
        for pair, (i, j) in enumerate(zip(*np.triu_indices(self.k, 1), strict=True)):
            places[:, i] -= self.outcomes[:, pair] * half
            places[:, j] += self.outcomes[:, pair] * half
        return places

    @cached_property
    def pair_answers(self) -> Answers:
        """Return what was said of each pair of completions: worse, tied, better (-1, 0, 1)."""
        codes = self.outcomes + np.int8(1)
        codes[self.outcomes == NOT_RANKED] = -1
        return Answers(self.task, self.rater, codes, np.array([-1, 0, 1]))

    @property
    def rank_answers(self) -> Answers:
        """Return the average rank of each completion."""
        of = self.complete
        # Average ranks are halves: twice the rank less two is its place.
        codes = (of.average_ranks * 2 - 2).astype(np.int16)
        return Answers(of.task, of.rater, codes, np.arange(2, 2 * self.k + 1) / 2)


@dataclass(frozen=True, eq=False)
class Rankings:
    """Hold rankings with ties and missing raters; `parts` has them by K."""

    parts: tuple[RankingsOfOneK, ...]

    @property
    def pair_answers(self) -> list[Answers]:
        """Return what was said of each pair of completions, by K."""
        return [part.pair_answers for part in self.parts]

    @cached_property
    def pair_counts(self) -> UnitCounts:
        """Return the counts of pair outcomes, -1, 0 and 1, of every K."""
        return together([part.pair_answers.counts for part in self.parts])

    @property
    def rank_counts(self) -> UnitCounts:
        """Return the counts of average ranks of every K."""
        return together([part.rank_answers.counts for part in self.parts])

    @property
    def without_ties(self) -> UnitCounts:
        """Return the counts of better and worse alone."""
        counts = self.pair_counts
        kept = counts.values != 0
        return UnitCounts(counts.counts[:, kept], counts.task, counts.values[kept])


def rankings_of(task: Ints, rater: Ints, ranks: Ints, k: Ints) -> Rankings:
    """Return rankings from task and rater (N,), ranks (N, at least K) and k (N,).

    All rankings of a task have one k. Ranks may be dense or not; 0 is not ranked.
    """
    return Rankings(tuple(_parts(task, rater, ranks, k)))


def rankings_of_columns(columns: JudgmentColumns) -> Rankings:
    """Return the rankings of `columns`."""
    return rankings_of(columns.task_id, columns.annotator_id, columns.ranks, columns.k)


def _parts(task: Ints, rater: Ints, ranks: Ints, k: Ints) -> Iterator[RankingsOfOneK]:
    for size in np.unique(k):
        if size < 2:
            continue
        rows = np.flatnonzero(k == size)
        rows = rows[np.argsort(task[rows], kind="stable")]
        yield RankingsOfOneK(task[rows], rater[rows], rows, ranks[rows, :size])
