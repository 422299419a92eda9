"""Calibration against numbers worked by hand."""

import math

import pytest

from reward.reward_modeling.calibration import (
    ReliabilityBin,
    expected_calibration_error,
    mean_pair_loss,
    outcome,
    reliability_curve,
)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_the_curve_sets_confidence_against_the_share_that_was_right() -> None:
    # Of four pairs held 0.8 sure three are in the people's order; one pair is held 0.6 sure.
    margins = [logit(0.8)] * 3 + [-logit(0.8), logit(0.6)]
    low, high = reliability_curve(margins, bins=5)
    assert (low.predicted, low.observed, low.count) == (pytest.approx(0.6), 1.0, 1)
    assert (high.predicted, high.observed, high.count) == (pytest.approx(0.8), 0.75, 4)
    # 4/5 · |0.8 − 0.75| + 1/5 · |0.6 − 1|
    assert expected_calibration_error([low, high]) == pytest.approx(0.12)


def test_a_tie_in_scores_is_half_right_and_calibrated() -> None:
    assert [outcome(margin) for margin in (0.3, 0.0, -0.3)] == [1.0, 0.5, 0.0]
    assert reliability_curve([0.0, 0.0]) == [ReliabilityBin(0.5, 0.5, 2)]


def test_full_confidence_has_a_bin() -> None:
    assert reliability_curve([1000.0, -1000.0]) == [ReliabilityBin(1.0, 0.5, 2)]


def test_the_loss_of_a_model_that_knows_nothing_is_log_two() -> None:
    assert mean_pair_loss([0.0, 0.0]) == pytest.approx(math.log(2))
    expected = (math.log(1 + math.exp(-2.0)) + math.log(1 + math.exp(1.0))) / 2
    assert mean_pair_loss([2.0, -1.0]) == pytest.approx(expected)
    assert mean_pair_loss([-1000.0]) == pytest.approx(1000.0)


def test_no_pair_has_no_calibration() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        expected_calibration_error([])
