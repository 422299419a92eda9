"""Means with a bootstrap interval over clusters, since pairs of one ranking are not independent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy


@dataclass(frozen=True)
class Interval:
    """A mean, its 95 % interval, and how many values and clusters it rests on."""

    value: float
    low: float
    high: float
    values: int
    clusters: int


def bootstrap_mean(
    clusters: Sequence[Sequence[float]], *, seed: int = 0, resamples: int = 2000
) -> Interval:
    """Return the mean over all values, with a percentile interval from resampled clusters.

    Efron & Tibshirani 1993, ch. 13, with whole clusters drawn (Field & Welsh 2007): a cluster is,
    for instance, every pair of one ranking. Raises `ValueError` where there is no value.
    """
    kept = [numpy.asarray(cluster, dtype=float) for cluster in clusters if len(cluster)]
    if not kept:
        raise ValueError("an interval needs at least one value")
    sums = numpy.array([cluster.sum() for cluster in kept])
    counts = numpy.array([len(cluster) for cluster in kept])
    drawn = numpy.random.default_rng(seed).integers(len(kept), size=(resamples, len(kept)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = numpy.quantile(means, [0.025, 0.975])
    return Interval(
        float(sums.sum() / counts.sum()), float(low), float(high), int(counts.sum()), len(kept)
    )
