import numpy as np
import pytest

from labeling.reliability_models.abilities import rater_evidence
from labeling.reliability_models.rankings import rankings_of
from tests.labeling.reliability_models.simulated_rankings import simulate

CREDIT = {"prior_right": 16.0, "prior_wrong": 4.0}


def test_planted_abilities_come_back() -> None:
    planted = [0.98, 0.95, 0.9, 0.8, 0.6, 0.5]
    found = rater_evidence(simulate(planted, tasks=1500, k=2).rankings, **CREDIT)
    assert found.ability(**CREDIT) == pytest.approx(planted, abs=0.04)


def test_pairs_of_one_ranking_count_as_its_comparisons() -> None:
    rankings = rankings_of([0, 0], [5, 9], [[1, 2, 3, 4], [1, 2, 3, 4]])
    found = rater_evidence(rankings, **CREDIT)
    assert found.raters.tolist() == [5, 9]
    assert found.comparisons == pytest.approx([3.0, 3.0])
    assert (found.right <= found.comparisons).all()


def test_whom_nobody_can_contradict_is_left_to_the_prior() -> None:
    rankings = rankings_of([0, 1, 1], [0, 1, 1], [[1, 2], [1, 2], [2, 1]])
    found = rater_evidence(rankings, **CREDIT)
    assert found.comparisons.tolist() == [0.0, 0.0]
    assert found.ability(**CREDIT).tolist() == [0.8, 0.8]


def test_ties_say_nothing_of_a_rater() -> None:
    rankings = rankings_of([0, 0], [0, 1], [[1, 1], [1, 2]])
    assert rater_evidence(rankings, **CREDIT).comparisons == pytest.approx([0.0, 1.0])


def test_few_judgments_do_not_decide() -> None:
    simulated = simulate([0.95, 0.95, 0.95, 0.5], tasks=400, k=2, overlap=4, seed=4)
    few = simulated.task < 5
    kept = (simulated.rater != 3) | few
    rankings = rankings_of(
        simulated.task[kept], simulated.rater[kept], simulated.ranks[kept].tolist()
    )
    little = rater_evidence(rankings, **CREDIT).ability(**CREDIT)[3]
    much = rater_evidence(simulated.rankings, **CREDIT).ability(**CREDIT)[3]
    assert abs(little - 0.8) < 0.12
    assert much == pytest.approx(0.5, abs=0.06)
    assert np.isfinite(little)
