import numpy as np
import pytest

from labeling.statistics.clustered_shares import clustered_shares
from labeling.statistics.wilson import wilson


def test_independent_trials_give_wilsons_interval() -> None:
    hits = np.repeat([1, 0], [81, 182])
    found = clustered_shares(hits, np.ones(263), np.zeros(263)).iloc[0]
    low, high = wilson(np.array([81 / 263]), np.array([263.0]))
    assert found["low"] == pytest.approx(low[0], abs=1e-3)
    assert found["high"] == pytest.approx(high[0], abs=1e-3)
    assert found["n"] == 263


def test_pairs_that_stand_and_fall_together_are_one_trial() -> None:
    hits = np.repeat([6, 0], [20, 20])
    together = clustered_shares(hits, np.full(40, 6), np.zeros(40)).iloc[0]
    alone = clustered_shares(np.repeat([1, 0], [20, 20]), np.ones(40), np.zeros(40)).iloc[0]
    assert together["n"] == 240
    assert together["low"] == pytest.approx(alone["low"], abs=1e-6)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    share = rng.beta(6, 4, size=(2000, 40))
    hits = rng.binomial(6, share).ravel()
    found = clustered_shares(hits, np.full(hits.size, 6), np.repeat(np.arange(2000), 40))
    held = (found["low"] <= 0.6) & (found["high"] >= 0.6)
    assert 0.92 < held.mean() < 0.98


@pytest.mark.parametrize("judgments", [2, 4, 8])
def test_few_judgments_hold_it_too(judgments: int) -> None:
    rng = np.random.default_rng(1)
    share = rng.beta(6, 4, size=(2000, judgments))
    hits = rng.binomial(6, share).ravel()
    group = np.repeat(np.arange(2000), judgments)
    found = clustered_shares(hits, np.full(hits.size, 6), group)
    held = (found["low"] <= 0.6) & (found["high"] >= 0.6)
    assert held.mean() > 0.95


def test_nothing_is_said_of_nothing() -> None:
    found = clustered_shares([0.0, 1.0], [0, 2], [7, 8])
    assert found.loc[7, "value"] is None and found.loc[7, "n"] == 0
    assert found.loc[8, "value"] == 0.5
    assert clustered_shares([], [], []).empty
