"""The linear preference model, against numbers worked by hand."""

import math

import numpy
import pytest

from reward.reward_modeling.pairwise_logistic import agreement_margin, fit_pairwise, pairwise_loss


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


def test_a_share_of_flipped_labels_is_no_evidence() -> None:
    # −log(0.2 + 0.6 · σ(0)) = log 2, and at σ → 0 no more than −log 0.2.
    differences, once = numpy.array([[1.0]]), numpy.ones(1)
    at_zero = pairwise_loss(differences, once, numpy.zeros(1), 0.0, flips=0.2)
    assert at_zero == pytest.approx(math.log(2))
    far_wrong = pairwise_loss(differences, once, numpy.array([-500.0]), 0.0, flips=0.2)
    assert far_wrong == pytest.approx(-math.log(0.2))


def test_flips_that_are_known_leave_the_direction_alone() -> None:
    random = numpy.random.default_rng(0)
    features = random.normal(size=(400, 6))
    truth = numpy.array([4.0, 0.5, 0, 0, 0, 0])
    differences = features * numpy.sign(features @ truth)[:, None]
    differences[random.random(400) < 0.2] *= -1
    plain = fit_pairwise(differences, numpy.ones(400), 0.3)
    aware = fit_pairwise(differences, numpy.ones(400), 0.3, flips=0.2, start=plain)

    def cosine(w: numpy.ndarray) -> float:
        return float(w @ truth / numpy.linalg.norm(w) / numpy.linalg.norm(truth))

    assert cosine(aware) > cosine(plain)
    assert numpy.linalg.norm(aware) > 2 * numpy.linalg.norm(plain)


def test_the_margin_that_people_agree_with() -> None:
    # σ(log 3) = 3/4, so 0.1 + 0.8 · 3/4 = 0.7 agree.
    found = agreement_margin(numpy.array([math.log(3), 0.0, -800.0]), 0.1)
    assert found == pytest.approx([math.log(0.7 / 0.3), 0.0, math.log(0.1 / 0.9)])
    assert agreement_margin(numpy.array([-800.0]), 0.0).tolist() == [-800.0]
