"""From distances of scores to shares of people: hand-worked bins."""

import math

import pytest

from reward.reward_modeling.calibration import ReliabilityBin
from reward.reward_modeling.pair_calibration import calibrate_bins, calibrate_margins


def test_bins_become_smoothed_shares_at_their_margins() -> None:
    curve = [ReliabilityBin(0.6, 0.5, 8), ReliabilityBin(0.9, 1.0, 18)]
    found = calibrate_bins(curve)
    assert found is not None
    # (4 + 1) / (8 + 2) and (18 + 1) / (18 + 2).
    assert found.probabilities == pytest.approx((0.5, 0.95))
    assert found.margins == pytest.approx((math.log(0.6 / 0.4), math.log(9.0)))
    assert found.pairs == 26
    assert found.probability(math.log(9.0)) == pytest.approx(0.95)
    assert found.probability(-math.log(9.0)) == pytest.approx(0.05)
    assert found.probability(100.0) == pytest.approx(0.95), "no surer than what was seen"
    assert found.probability(0.0) == 0.5


def test_a_bin_that_falls_is_pooled_with_the_one_before_it() -> None:
    # Smoothed 0.8 (of 8 + 2) and 0.6 (of 18 + 2) pool to (8 + 12) / 30.
    curve = [ReliabilityBin(0.6, 7 / 8, 8), ReliabilityBin(0.9, 11 / 18, 18)]
    found = calibrate_bins(curve)
    assert found is not None
    assert found.probabilities == pytest.approx((2 / 3, 2 / 3))


def test_a_few_right_pairs_are_no_certainty() -> None:
    found = calibrate_bins([ReliabilityBin(0.99, 1.0, 3)])
    assert found is not None
    assert found.probability(10.0) == pytest.approx(4 / 5)


def test_margins_of_any_unit_are_binned_by_size_and_ties_left_out() -> None:
    near, far = [0.001, -0.001] * 20, [0.1] * 40
    found = calibrate_margins([*near, *far, 0.0, 0.0], bins=2)
    assert found is not None
    assert found.margins == pytest.approx((0.001, 0.1))
    assert found.probabilities == pytest.approx((0.5, 41 / 42))
    assert found.pairs == 80


def test_judges_that_only_say_which_have_one_level() -> None:
    found = calibrate_margins([1.0] * 17 + [-1.0] * 3)
    assert found is not None
    assert found.margins == (1.0,)
    assert found.probability(1.0) == pytest.approx(18 / 22)


def test_nothing_to_learn_from() -> None:
    assert calibrate_margins([]) is None
    assert calibrate_margins([0.0]) is None
    assert calibrate_bins([]) is None
