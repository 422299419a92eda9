"""Intervals over clusters."""

import numpy
import pytest

from reward.evaluating.intervals import bootstrap_mean


def test_the_mean_is_over_values_and_the_counts_are_given() -> None:
    interval = bootstrap_mean([[1.0, 1.0, 0.0], [], [0.0]])
    assert (interval.value, interval.values, interval.clusters) == (0.5, 4, 2)
    assert interval.low <= 0.5 <= interval.high


def test_dependent_pairs_widen_the_interval() -> None:
    flips = numpy.random.default_rng(0).integers(0, 2, 60).astype(float)
    alone = bootstrap_mean([[x] for x in flips for _ in range(6)])
    together = bootstrap_mean([[x] * 6 for x in flips])
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = numpy.random.default_rng(0)
    covered = 0
    for _ in range(200):
        interval = bootstrap_mean([[x] for x in generator.random(50) < 0.6], resamples=300)
        covered += interval.low <= 0.6 <= interval.high
    assert 175 <= covered <= 200


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_mean([[], []])
