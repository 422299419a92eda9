"""Heads of the feature-based model, each on its own bootstrap of the prompts."""

import numpy

from reward.reward_modeling.feature_choice import Choice, fit_heads
from reward.reward_modeling.text_rankings import Comparisons

CHOICE = Choice(scale=0.0, penalty=1.0, flips=0.0, loss=0.0)


def test_a_head_whose_bootstrap_drew_no_prompt_is_fitted_to_all() -> None:
    comparisons = Comparisons(
        better=numpy.array([0, 2]),
        worse=numpy.array([1, 3]),
        weights=numpy.ones(2),
        groups=numpy.array([5, 9]),
    )
    differences = numpy.array([[1.0, 0.5], [0.2, 2.0]])
    (whole,) = fit_heads(differences, comparisons, CHOICE, heads=1, seed=0)
    heads = fit_heads(differences, comparisons, CHOICE, heads=64, seed=0)
    # Of two prompts e^-2 of the bootstraps draw none, of 64 about nine.
    drawn = numpy.random.default_rng(0).poisson(1.0, size=(64, 2)).sum(axis=1)
    empty = heads[drawn == 0]
    assert len(empty) > 3
    numpy.testing.assert_allclose(empty, numpy.tile(whole, (len(empty), 1)), atol=1e-5)
    assert numpy.abs(heads).sum(axis=1).min() > 0
