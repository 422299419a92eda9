"""Means with an interval over clusters, since pairs of one ranking are not independent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy

from labeling.statistics.student import UPPER, student_quantile
from labeling.statistics.wilson import wilson

DRAWN_AT_ONCE = 2**18  # numbers; 2 MiB for each of the few arrays of them


@dataclass(frozen=True)
class Interval:
    """A mean, its 95 % interval, and how many values and clusters it rests on."""

    value: float
    low: float
    high: float
    values: int
    clusters: int


def bootstrap_mean(
    clusters: Sequence[Sequence[float]],
    *,
    seed: int = 0,
    resamples: int = 2000,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Return the mean over all values, with a percentile interval from resampled clusters.

    Efron & Tibshirani 1993, ch. 13, with whole clusters drawn (Field & Welsh 2007): a cluster is,
    for instance, every pair of one ranking. Draws of few clusters vary less than samples of few do,
    so the interval is widened to hold Student's, with the linearised error of a ratio of sums and
    n − 1 degrees of freedom for n clusters (Cochran 1977, Sampling Techniques, §6.4); of many it
    adds next to nothing. It stays `within` what the values can be. One cluster has no interval:
    both ends are its mean. For values from 0 to 1 take `bootstrap_share`, which knows that clusters
    which are all alike prove little. Raises `ValueError` where there is no value.
    """
    sums, counts = _sums(clusters)
    found = _percentiles(sums, counts, seed, resamples)
    if len(sums) < 2:
        return found
    reach = student_quantile(len(sums) - 1) * math.sqrt(_variance(sums, counts))
    least, most = within
    low = max(least, min(found.low, found.value - reach))
    return replace(found, low=low, high=min(most, max(found.high, found.value + reach)))


def bootstrap_share(
    clusters: Sequence[Sequence[float]], *, seed: int = 0, resamples: int = 2000
) -> Interval:
    """Return the mean of values from 0 to 1 with a percentile interval from resampled clusters.

    It is widened to hold Wilson's, which knows that few clusters, or clusters that happen to agree,
    do not prove much; of many it adds next to nothing.
    """
    found = _percentiles(*_sums(clusters), seed, resamples)
    low, high = wilson_interval(clusters)
    return replace(found, low=min(found.low, low), high=max(found.high, high))


def wilson_interval(clusters: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a mean of values from 0 to 1 that come in clusters.

    Wilson 1927 with n clusters' effective number of values e = p(1 − p) / Var(p) (Kish 1965, §8.2)
    and Student's t of n − 1 degrees of freedom for the normal quantile, as Korn & Graubard 1998 do
    with Clopper and Pearson's. Var(p) is the linearised variance of a ratio of sums, n / (n − 1) ·
    Σ (sum_i − p · count_i)² / count². e is at most the number of values, and n where all values are
    0 or all are 1, which have no variance. One cluster says nothing: 0 to 1.
    """
    sums, counts = _sums(clusters)
    n, total = len(sums), float(counts.sum())
    if n < 2:
        return 0.0, 1.0
    p = float(sums.sum()) / total
    variance = _variance(sums, counts)
    alike = p * (1 - p)
    effective = float(n)
    if alike > 0:
        effective = total if alike >= total * variance else alike / variance
    low, high = wilson(numpy.array([p]), numpy.array([effective]), student_quantile(n - 1))
    return float(low[0]), float(high[0])


def _percentiles(sums: numpy.ndarray, counts: numpy.ndarray, seed: int, resamples: int) -> Interval:
    generator = numpy.random.default_rng(seed)
    means = numpy.empty(resamples)
    # Rows that are drawn in turn have the bits of one draw of them all, in a part of its memory.
    rows = max(1, DRAWN_AT_ONCE // len(sums))
    for start in range(0, resamples, rows):
        part = means[start : start + rows]
        drawn = generator.integers(len(sums), size=(len(part), len(sums)))
        part[:] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = numpy.quantile(means, [1 - UPPER, UPPER])
    return Interval(
        float(sums.sum() / counts.sum()), float(low), float(high), int(counts.sum()), len(sums)
    )


def _variance(sums: numpy.ndarray, counts: numpy.ndarray) -> float:
    """Return the linearised variance of Σ sum / Σ count over two clusters or more (n,)."""
    n, total = len(sums), float(counts.sum())
    left = sums - sums.sum() / total * counts
    return n / (n - 1) * float((left**2).sum()) / total**2


def _sums(clusters: Sequence[Sequence[float]]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the sum and the count of each cluster that has values, both (n,)."""
    kept = [numpy.asarray(cluster, dtype=float) for cluster in clusters if len(cluster)]
    if not kept:
        raise ValueError("an interval needs at least one value")
    sums = numpy.array([cluster.sum() for cluster in kept])
    return sums, numpy.array([len(cluster) for cluster in kept])
