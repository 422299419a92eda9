"""How far the judgments of a snapshot's tasks agree, counted task by task."""

from typing import Any

import numpy as np
import numpy.typing as npt

from labeling.statistics.agreement import krippendorff_alpha, pairwise_agreement
from labeling.statistics.figure import Figure
from labeling.statistics.unit_counts import UnitCounts

_OUTCOMES = np.array([-1, 0, 1])
# Small arrays are put together as they come: a hundred thousand of them cost more than they hold.
_TOGETHER = 4096


def outcome_counts(rankings: list[list[int]]) -> npt.NDArray[np.int32]:
    """Return how many of N rankings of K completions say worse, tied, better: (K(K-1)/2, 3)."""
    ranks = np.array(rankings)
    i, j = np.triu_indices(ranks.shape[1], 1)
    outcomes = np.sign(ranks[:, j] - ranks[:, i])
    return np.stack([(outcomes == one).sum(axis=0) for one in _OUTCOMES], axis=1).astype(np.int32)


def rank_agreement(rankings: list[list[int]]) -> float:
    """Return the share of (pair of completions, pair of raters) with the same outcome.

    A tie agrees with a tie only, as in `labeling.statistics.agreement.pairwise_agreement`.
    """
    counts = outcome_counts(rankings)
    raters = len(rankings)
    return float((counts * (counts - 1)).sum() / (raters * (raters - 1) * len(counts)))


class SnapshotAgreement:
    """Takes in the tasks of a snapshot and says how far their judgments agree."""

    def __init__(self) -> None:
        """Begin without tasks."""
        self._counts: list[npt.NDArray[np.int32]] = []
        self._held: list[npt.NDArray[np.int32]] = []
        self._sizes: list[int] = []

    def add(self, rankings: list[list[int]]) -> None:
        """Take in the rankings of a task, which say nothing if there is only one."""
        if len(rankings) < 2:
            return
        counts = outcome_counts(rankings)
        self._held.append(counts)
        self._sizes.append(len(counts))
        if len(self._held) == _TOGETHER:
            self._put_together()

    def figures(self) -> dict[str, Any]:
        """Return pairwise agreement and Krippendorff's alpha (nominal) on outcomes of pairs."""
        self._put_together()
        counts = np.concatenate(self._counts) if self._counts else np.zeros((0, 3), np.int32)
        task = np.repeat(np.arange(len(self._sizes)), self._sizes)
        units = UnitCounts(counts, task, _OUTCOMES)
        return {
            "tasks_judged_twice": len(self._sizes),
            "pairwise_agreement": _plain(pairwise_agreement(units)),
            "krippendorff_alpha": _plain(krippendorff_alpha(units, "nominal")),
        }

    def _put_together(self) -> None:
        if self._held:
            self._counts.append(np.concatenate(self._held))
            self._held = []


def _plain(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n}
