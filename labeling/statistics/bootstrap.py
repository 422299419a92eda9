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

from labeling.statistics.clustered_shares import clustered_shares
from labeling.statistics.figure import Figure
from labeling.statistics.student import student_quantile

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
    #: tasks below which draws vary less than samples would, and the interval is widened for it
    few: int = 30


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
) -> Figure:
    """Return `statistic`, which lies from `least` to 1, with its percentile interval over tasks.

    Percentiles: Efron & Tibshirani 1993, An Introduction to the Bootstrap, §13.3. With more tasks
    than `normal_above`, totals of a draw are drawn from the normal distribution with the mean and
    covariance that they have (central limit theorem), instead of task by task. With fewer than
    `few`, the interval is widened to hold one that knows how few they are: of a `share` that of
    `clustered_shares`, of anything else Student's with the jackknife's error (§11.5).
    """
    if sums is None:
        return Figure(None, n, of)
    value = float(statistic(sums.total[None, :])[0])
    if not np.isfinite(value):
        return Figure(None, n, of)
    low, high = interval(sums, statistic, resampling, least)
    return Figure(value, n, of, low, high)


def interval(
    sums: TaskSums, statistic: Statistic, resampling: Resampling, least: float
) -> tuple[float | None, float | None]:
    """Return the interval of `statistic`, from `least` to 1; None twice for too few tasks."""
    if sums.tasks < 2:
        return None, None
    found = _percentiles(sums, statistic, resampling)
    if found is None or sums.sums is None or sums.tasks >= resampling.few:
        return found or (None, None)
    wider = _of_share(sums.sums) if statistic is share else _of_few(sums, statistic, least)
    if wider is None:
        return found
    return min(found[0], wider[0]), max(found[1], wider[1])


def _percentiles(
    sums: TaskSums, statistic: Statistic, resampling: Resampling
) -> tuple[float, float] | None:
    values = statistic(_drawn_totals(sums, resampling))
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    outside = (1 - resampling.level) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low), float(high)


def _of_share(sums: Floats) -> tuple[float, float] | None:
    """Return Wilson's interval of a share; None where fewer than two tasks have any of it."""
    given = sums[sums[:, 1] > 0]
    if len(given) < 2:
        return None
    found = clustered_shares(given[:, 0], given[:, 1], np.zeros(len(given))).iloc[0]
    return float(found["low"]), float(found["high"])


def _of_few(sums: TaskSums, statistic: Statistic, least: float) -> tuple[float, float] | None:
    """Return Student's interval with the jackknife's error; None where a task is needed."""
    assert sums.sums is not None
    without = statistic(sums.total - sums.sums)
    if not np.isfinite(without).all():
        return None
    value = float(statistic(sums.total[None, :])[0])
    error = float(np.sqrt((sums.tasks - 1) * without.var()))
    reach = student_quantile(sums.tasks - 1) * error
    return max(least, value - reach), min(1.0, value + reach)


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


def share(totals: Floats) -> Floats:
    """Return `ratio` of totals (R, 2) that are counts, the first being among the second."""
    return ratio(totals)
