"""Bootstrap intervals over tasks, from sums of each task: a million judgments take milliseconds.

Judgments of one task depend on each other, so tasks are what is drawn again (the cluster bootstrap;
Davison & Hinkley 1997, Bootstrap Methods and their Application, §3.8). Every figure here is a
function of totals over tasks, so a draw needs the sums of each task and no judgment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from labeling.statistics.bounded_interval import bounded_interval
from labeling.statistics.figure import Figure

Floats = npt.NDArray[np.float64]
#: Totals (R, D) to R values; NaN where the totals leave nothing to measure.
Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Resampling:
    """Say how the intervals are drawn."""

    #: how often the tasks are drawn again
    resamples: int = 1000
    #: share of the draws that the interval holds
    level: float = 0.95
    #: the same judgments give the same interval
    seed: int = 20
    #: tasks above which the totals of a draw are drawn as what they then are: a normal vector
    normal_above: int = 1000


USUAL = Resampling()


@dataclass(frozen=True, eq=False)
class TaskSums:
    """Hold what an interval needs of T tasks: their sums (T, D), or their moments where T is large.

    `total` (D,) is the sum over tasks; `covariance` (D, D) is of one task's sums.
    """

    tasks: int
    total: Floats
    sums: Floats | None
    covariance: Floats | None


class TaskSumsBuilder:
    """Take the sums of tasks in parts, and keep no more of them than an interval will need."""

    def __init__(self, resampling: Resampling) -> None:
        """Begin without tasks."""
        self._limit = resampling.normal_above
        self._parts: list[Floats] = []
        self._tasks = 0
        self._total: Floats | None = None
        self._products: Floats | None = None

    def add(self, sums: Floats) -> None:
        """Add the sums (T, D) of T more tasks."""
        if not len(sums):
            return
        self._tasks += len(sums)
        total, products = sums.sum(axis=0), sums.T @ sums
        self._total = total if self._total is None else self._total + total
        self._products = products if self._products is None else self._products + products
        if self._tasks <= self._limit:
            self._parts.append(sums)

    def built(self) -> TaskSums | None:
        """Return the sums of all the tasks; None where there are none."""
        if self._total is None or self._products is None:
            return None
        if self._tasks <= self._limit:
            return TaskSums(self._tasks, self._total, np.concatenate(self._parts), None)
        mean = self._total / self._tasks
        covariance = self._products / self._tasks - np.outer(mean, mean)
        return TaskSums(self._tasks, self._total, None, covariance)


def task_sums(sums: Floats, resampling: Resampling) -> TaskSums | None:
    """Return `sums` (T, D) as what `interval` takes; None where there is no task."""
    builder = TaskSumsBuilder(resampling)
    builder.add(sums)
    return builder.built()


def figure_of(
    sums: TaskSums | None,
    statistic: Statistic,
    *,
    n: int,
    of: str,
    resampling: Resampling,
    least: float = -1.0,
    trials: float = np.inf,
) -> Figure:
    """Return `statistic`, which lies from `least` to 1, with its percentile interval over tasks.

    Percentiles: Efron & Tibshirani 1993, An Introduction to the Bootstrap, §13.3. With more tasks
    than `normal_above`, totals of a draw are drawn from the normal distribution with the mean and
    covariance that they have (central limit theorem), instead of task by task. Draws of few tasks,
    and of tasks that nearly all agree, vary less than samples of such tasks do: the interval is
    widened to hold `bounded_interval` with the jackknife's error (§11.5), or where tasks are many
    that of the draws. `trials` is how many independent ratings the figure can be worth at most.
    Where fewer than two tasks can be left out with something left to measure, nothing tells how
    sure it is, and the interval is all from `least` to 1.
    """
    if sums is None:
        return Figure(None, n, of)
    value = float(statistic(sums.total[None, :])[0])
    if not np.isfinite(value):
        return Figure(None, n, of)
    if sums.tasks < 2:
        return Figure(value, n, of)
    drawn = statistic(_drawn_totals(sums, resampling))
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Figure(value, n, of)
    error, tasks = _error(sums, statistic, drawn)
    if tasks < 2:
        return Figure(value, n, of, min(least, value), 1.0)
    outside = (1 - resampling.level) / 2
    low, high = (float(end) for end in np.quantile(drawn, [outside, 1 - outside]))
    wider = bounded_interval(value, error, tasks, least=least, trials=trials)
    low, high = min(low, wider[0]), max(high, wider[1])
    return Figure(value, n, of, min(value, max(low, least)), max(value, min(high, 1.0)))


def _error(sums: TaskSums, statistic: Statistic, drawn: Floats) -> tuple[float, int]:
    """Return the standard error over tasks, and of how many: those that can be left out."""
    if sums.sums is None:
        return float(drawn.std()), sums.tasks
    without = statistic(sums.total - sums.sums)
    kept = without[np.isfinite(without)]
    if len(kept) < 2:
        return 0.0, len(kept)
    return float(np.sqrt((len(kept) - 1) * kept.var())), len(kept)


def _drawn_totals(sums: TaskSums, resampling: Resampling) -> Floats:
    """Return the totals (R, D) of R draws of T tasks with replacement."""
    if sums.sums is not None:
        drawn: Floats = _often(sums.tasks, resampling.resamples, resampling.seed) @ sums.sums
        return drawn
    assert sums.covariance is not None
    values, vectors = np.linalg.eigh(sums.covariance * sums.tasks)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    random = np.random.default_rng(resampling.seed)
    noise = random.standard_normal((resampling.resamples, len(values)))
    totals: Floats = sums.total + noise @ root.T
    return totals


@lru_cache(maxsize=4)
def _often(tasks: int, resamples: int, seed: int) -> Floats:
    """Return (R, T): how often each of T tasks is in each of R draws of T tasks."""
    # The figures of one set of tasks, one after the other, share their draws.
    drawn = np.random.default_rng(seed).integers(0, tasks, (resamples, tasks))
    drawn += np.arange(resamples)[:, None] * tasks
    often = np.bincount(drawn.ravel(), minlength=resamples * tasks)
    return often.reshape(resamples, tasks).astype(np.float64)


def ratio(totals: Floats) -> Floats:
    """Return the first of two totals (R, 2) over the second; NaN where that is 0."""
    below: Any = np.where(totals[:, 1] > 0, totals[:, 1], np.nan)
    found: Floats = totals[:, 0] / below
    return found
