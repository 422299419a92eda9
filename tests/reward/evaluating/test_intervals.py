"""Intervals over clusters."""

import tracemalloc
from collections.abc import Callable

import numpy
import pytest

from labeling.statistics.student import UPPER
from reward.evaluating.intervals import (
    _percentiles,
    bootstrap_mean,
    bootstrap_share,
    wilson_interval,
)


def test_the_mean_is_over_values_and_the_counts_are_given() -> None:
    interval = bootstrap_mean([[1.0, 1.0, 0.0], [], [0.0]])
    assert (interval.value, interval.values, interval.clusters) == (0.5, 4, 2)
    assert interval.low <= 0.5 <= interval.high


@pytest.mark.parametrize("clusters", [1, 2, 3, 7, 130, 4001, 12000])
def test_resamples_are_drawn_in_parts_with_the_bits_of_one_draw(clusters: int) -> None:
    generator = numpy.random.default_rng(clusters)
    values = [generator.normal(size=size) for size in generator.integers(1, 4, clusters)]
    sums = numpy.array([one.sum() for one in values])
    counts = numpy.array([len(one) for one in values])
    for resamples in (300, 301):
        drawn = numpy.random.default_rng(5).integers(clusters, size=(resamples, clusters))
        means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        low, high = numpy.quantile(means, [1 - UPPER, UPPER])
        found = _percentiles(sums, counts, 5, resamples)
        assert (found.low, found.high) == (low, high)


def test_memory_of_the_resamples_does_not_grow_with_the_clusters() -> None:
    clusters = numpy.random.default_rng(0).normal(size=(24_000, 1))
    tracemalloc.start()
    try:
        bootstrap_mean(clusters)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All resamples at once: 2000 x 24,000 indices and as many values, 730 MiB.
    assert peak < 50 * 2**20


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


def _held(draw: Callable[[], numpy.ndarray], truth: float, times: int = 400) -> float:
    found = (bootstrap_mean(draw(), resamples=200) for _ in range(times))
    return sum(one.low <= truth <= one.high for one in found) / times


@pytest.mark.parametrize("clusters", [2, 3, 5, 10, 30])
def test_a_mean_of_few_clusters_is_covered_too(clusters: int) -> None:
    generator = numpy.random.default_rng(clusters)

    def draw() -> numpy.ndarray:
        return generator.normal(size=(clusters, 1)) + 0.5 * generator.normal(size=(clusters, 2))

    # Percentiles alone hold it 50, 75, 84, 90 and 94 times of 100.
    assert _held(draw, 0.0) >= 0.93


def test_skewed_values_of_few_clusters_are_covered_nearly_as_often() -> None:
    generator = numpy.random.default_rng(3)
    # Percentiles alone: 88 times of 100.
    assert _held(lambda: generator.gamma(1.5, size=(10, 2)), 1.5) >= 0.9


def test_a_mean_of_few_by_hand_and_within_its_bounds() -> None:
    # Mean 2, standard error 1/√3, Student's t with 2 degrees of freedom 4.30265.
    found = bootstrap_mean([[1.0], [2.0], [3.0]])
    ends = 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5
    assert (found.low, found.high) == pytest.approx(ends)
    found = bootstrap_mean([[1.0], [2.0], [3.0]], within=(0.0, 4.0))
    assert (found.low, found.high) == (0.0, 4.0)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_mean([[], []])


def test_wilsons_interval_by_hand() -> None:
    # Three of four: p = 3/4, Var = 4/3 · (3 · 1/16 + 9/16) / 16 = 1/16, so e = 3; the 97.5 %
    # quantile of Student's t with 3 degrees of freedom is 3.18245, and t²/e = 3.37599.
    low, high = wilson_interval([[1.0], [1.0], [1.0], [0.0]])
    half = (3.37599 * (3 / 16 + 3.37599 / 4)) ** 0.5
    assert low == pytest.approx((0.75 + 3.37599 / 2 - half) / 4.37599, abs=5e-4)
    assert high == pytest.approx((0.75 + 3.37599 / 2 + half) / 4.37599, abs=5e-4)
    # Five of five, whatever their sizes: e = 5, t = 2.77645 with 4 degrees of freedom.
    low, high = wilson_interval([[1.0], [1.0] * 6, [1.0], [1.0], [], [1.0]])
    assert (low, high) == pytest.approx((1 / (1 + 2.77645**2 / 5), 1.0), abs=2e-4)


def test_clusters_that_happen_to_agree_count_as_their_values_at_most() -> None:
    # Var is 0 and p = 3/4 of 8 values: e = 8, t = 12.7062 with 1 degree of freedom.
    low, _ = wilson_interval([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0]])
    bound = 12.7062**2 / 8
    half = (bound * (3 / 16 + bound / 4)) ** 0.5
    assert low == pytest.approx((0.75 + bound / 2 - half) / (1 + bound), abs=1e-4)


def test_one_cluster_says_nothing_of_a_share() -> None:
    found = bootstrap_share([[1.0, 1.0, 1.0]])
    assert (found.value, found.low, found.high) == (1.0, 0.0, 1.0)


def test_a_share_of_many_clusters_has_nearly_the_bootstraps_interval() -> None:
    clusters = [[1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]] * 25
    share, mean = bootstrap_share(clusters), bootstrap_mean(clusters)
    assert (share.value, share.values, share.clusters) == (mean.value, 300, 100)
    assert share.low <= mean.low and share.high >= mean.high
    assert (share.low, share.high) == pytest.approx((mean.low, mean.high), abs=0.01)


@pytest.mark.parametrize("prompts", [2, 3, 5, 8, 16])
def test_equal_policies_seldom_pass_however_few_the_prompts(prompts: int) -> None:
    generator = numpy.random.default_rng(prompts)
    passed = 0
    for _ in range(400):
        ours, theirs = generator.normal(size=(2, prompts, 2))
        ours += generator.normal(size=(prompts, 1))  # a prompt may suit one of them
        wins = (ours[:, :, None] > theirs[:, None, :]).reshape(prompts, 4).astype(float)
        passed += bootstrap_share(wins, resamples=200).low > 0.5
    # 2.5 % of 400 are 10; the bootstrap alone lets 50 pass with two prompts and 25 with five.
    assert passed <= 18
