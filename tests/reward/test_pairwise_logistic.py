"""The linear preference model, against numbers worked by hand."""

import math

import numpy
import pytest

from reward.pairwise_logistic import fit_pairwise, pairwise_loss


def test_the_loss_by_hand() -> None:
    # −log σ(1·2) · 3 + ½ · 0.5 · 2²
    loss = pairwise_loss(numpy.array([[1.0]]), numpy.array([3.0]), numpy.array([2.0]), 0.5)
    assert loss == pytest.approx(3 * math.log1p(math.exp(-2)) + 1.0)


def test_three_right_and_one_wrong_are_log_three() -> None:
    # Without a penalty to speak of, the best w says σ(w) = 3/4.
    differences = numpy.array([[1.0], [1.0], [1.0], [-1.0]])
    w = fit_pairwise(differences, numpy.ones(4), 1e-9)
    assert w[0] == pytest.approx(math.log(3), abs=1e-5)


def test_a_weight_counts_as_often() -> None:
    once = fit_pairwise(numpy.array([[1.0], [-1.0]]), numpy.array([3.0, 1.0]), 0.1)
    thrice = fit_pairwise(numpy.array([[1.0]] * 3 + [[-1.0]]), numpy.ones(4), 0.1)
    assert once == pytest.approx(thrice, abs=1e-6)


def test_the_gradient_is_zero_where_it_ends() -> None:
    random = numpy.random.default_rng(0)
    differences, weights = random.normal(size=(60, 5)), random.random(60)
    w = fit_pairwise(differences, weights, 0.7)
    wrong = 1 / (1 + numpy.exp(differences @ w))
    assert numpy.abs(0.7 * w - differences.T @ (weights * wrong)).max() < 1e-3


def test_pairs_that_a_line_separates_stay_finite() -> None:
    differences = numpy.full((50, 1), 1000.0)
    w = fit_pairwise(differences, numpy.ones(50), 1e-3)
    assert 0 < w[0] < 10
