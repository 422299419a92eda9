import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.reliability_models.bradley_terry import bradley_terry
from labeling.reliability_models.plackett_luce import plackett_luce
from labeling.reliability_models.rankings import RankingBlock, rankings_of

RANKINGS = some.lists(
    some.lists(some.integers(1, 4), min_size=4, max_size=4), min_size=1, max_size=8
)


def block_of(ranks: list[list[int]]) -> RankingBlock:
    return rankings_of(np.zeros(len(ranks)), np.zeros(len(ranks)), ranks).blocks[0]


def test_planted_abilities_come_back() -> None:
    rng = np.random.default_rng(1)
    ability = np.array([0.8, 0.1, -0.2, -0.7])
    drawn = ability + rng.gumbel(size=(4000, 4))
    ranks = np.argsort(np.argsort(-drawn, axis=1), axis=1) + 1
    found = plackett_luce(block_of(ranks.tolist()), prior_shape=1.0)
    scores = found.scores[0] - found.scores[0].mean()
    assert scores == pytest.approx(ability, abs=0.07)
    spread = np.sqrt(np.diagonal(found.covariance[0]))
    assert np.all(np.abs(scores - ability) < 4 * spread) and spread.max() < 0.05


def test_rankings_of_two_are_bradley_terry() -> None:
    ranks = [[1, 2]] * 7 + [[2, 1]] * 3
    found = plackett_luce(block_of(ranks), prior_shape=1.0)
    plain = bradley_terry(np.array([[[0.0, 7.0], [3.0, 0.0]]]), precision=0.0)
    gap = found.scores[0, 0] - found.scores[0, 1]
    assert gap == pytest.approx(np.log(7 / 3), abs=1e-6)
    assert gap == pytest.approx(plain.scores[0, 0] - plain.scores[0, 1], abs=1e-6)


@given(RANKINGS, some.permutations(range(4)))
@settings(max_examples=50)
def test_names_make_no_difference(ranks: list[list[int]], order: list[int]) -> None:
    found = plackett_luce(block_of(ranks)).scores[0]
    again = plackett_luce(block_of([[row[place] for place in order] for row in ranks])).scores[0]
    assert again == pytest.approx(found[order], abs=1e-5)


@given(RANKINGS)
@settings(max_examples=50)
def test_the_posterior_never_falls(ranks: list[list[int]]) -> None:
    block = block_of(ranks)
    values = [plackett_luce(block, most_iterations=turns).log_likelihood[0] for turns in range(8)]
    assert np.diff(values).min() > -1e-9


@given(some.permutations([1, 2, 3, 4]), some.integers(1, 5))
@settings(max_examples=30)
def test_unanimous_rankings_are_kept(ranks: list[int], times: int) -> None:
    found = plackett_luce(block_of([list(ranks)] * times))
    assert np.argsort(-found.scores[0]).tolist() == np.argsort(ranks).tolist()
