from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.reliability_models.bradley_terry import bradley_terry
from labeling.reliability_models.crowd_bt import (
    Comparisons,
    CrowdBradleyTerry,
    crowd_bradley_terry,
)
from labeling.reliability_models.rankings import Rankings, rankings_of

RANKINGS = some.lists(
    some.tuples(
        some.integers(0, 2), some.integers(0, 3), some.lists(some.integers(1, 3), min_size=3,
                                                             max_size=3)
    ),
    min_size=1,
    max_size=15,
)  # fmt: skip


def given_as(said: list[tuple[int, int, list[int]]]) -> Rankings:
    tasks, raters, ranks = zip(*said, strict=True)
    return rankings_of(tasks, raters, list(ranks))


def test_planted_abilities_and_order_come_back() -> None:
    rng = np.random.default_rng(2)
    quality = rng.normal(size=8) * 1.5
    ability = np.array([0.95, 0.9, 0.8, 0.5, 0.15])
    pair = np.array([rng.permutation(8)[:2] for _ in range(4000)])
    rater = rng.integers(0, 5, 4000)
    chance = 1 / (1 + np.exp(-(quality[pair[:, 0]] - quality[pair[:, 1]])))
    coin = rng.random(4000) < chance
    first = np.where(rng.random(4000) < ability[rater], coin, ~coin)
    better, worse = np.where(first, pair.T, pair.T[::-1])
    said = Comparisons.of_pairs(better, worse, rater, items=8)
    found = crowd_bradley_terry([said], raters=5, precision=0.1)
    assert found.converged
    assert np.corrcoef(found.scores[0][0], quality)[0, 1] > 0.98
    assert found.ability == pytest.approx(ability, abs=0.08)
    plain = crowd_bradley_terry([said], raters=5, precision=0.1, ability=np.ones(5))
    assert found.log_posterior[-1] > plain.log_posterior[-1]


def fit(rankings: Rankings, **options: Any) -> CrowdBradleyTerry:
    said = [Comparisons.of_block(block) for block in rankings.blocks]
    return crowd_bradley_terry(said, raters=len(rankings.raters), **options)


@given(RANKINGS)
@settings(max_examples=40)
def test_the_posterior_never_falls(said: list[tuple[int, int, list[int]]]) -> None:
    found = fit(given_as(said))
    assert np.diff(found.log_posterior).min(initial=0.0) > -1e-9


@given(RANKINGS, some.permutations(range(4)))
@settings(max_examples=40)
def test_names_make_no_difference(said: list[tuple[int, int, list[int]]], to: list[int]) -> None:
    found = fit(given_as(said))
    again = fit(given_as([(t, to[r], ranks) for t, r, ranks in said]))
    assert again.scores[0] == pytest.approx(found.scores[0], abs=1e-6)


@given(RANKINGS)
@settings(max_examples=40)
def test_raters_who_are_always_right_are_plain_bradley_terry(
    said: list[tuple[int, int, list[int]]],
) -> None:
    rankings = given_as(said)
    sure = np.ones(len(rankings.raters))
    found = fit(rankings, ability=sure, tolerance=1e-13, most_iterations=5000)
    plain = bradley_terry(rankings.blocks[0].wins())
    assert found.scores[0] == pytest.approx(plain.scores, abs=1e-3)


def test_a_rater_who_is_a_coin_decides_nothing() -> None:
    rankings = given_as([(0, 0, [1, 2, 3]), (0, 1, [3, 2, 1]), (0, 1, [3, 2, 1])])
    found = fit(rankings, ability=np.array([0.9, 0.5]))
    assert (np.diff(found.scores[0][0]) < 0).all()
    assert found.before()[0][0, 0, 2] > 0.6
