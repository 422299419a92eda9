"""Figures of a reward model on unseen rankings."""

import json
import math

import pytest

from reward.reward_modeling.reward_report import JudgedRanking, reward_report
from storage.errors import BadInput


def test_accuracy_loss_and_calibration_come_from_the_margins() -> None:
    judged = [JudgedRanking(1, "", [2.0, -2.0, 0.0]), JudgedRanking(2, "", [2.0])]
    found = reward_report(judged, seed=0)
    assert found.accuracy.value == (1 + 0 + 0.5 + 1) / 4
    assert (found.accuracy.values, found.accuracy.clusters) == (4, 2)
    costs = [math.log(1 + math.exp(-m)) for m in (2.0, -2.0, 0.0, 2.0)]
    assert found.loss == pytest.approx(sum(costs) / 4)
    sure = 1 / (1 + math.exp(-2.0))
    assert found.calibration_error == pytest.approx(3 / 4 * (sure - 2 / 3))
    assert [one.count for one in found.reliability] == [1, 3]


def test_rankings_of_one_prompt_are_one_cluster() -> None:
    twice = [JudgedRanking(5, "", [1.0]), JudgedRanking(5, "", [-1.0])]
    assert reward_report(twice, seed=0).accuracy.clusters == 1


def test_subsets_have_an_accuracy_of_their_own() -> None:
    judged = [
        JudgedRanking(1, "policy 1", [1.0, 1.0]),
        JudgedRanking(2, "policy 2", [1.0, -1.0]),
        JudgedRanking(3, "", [-1.0]),
    ]
    by = reward_report(judged, seed=0).metrics()["reward_accuracy_by"]
    assert {name: (one["accuracy"], one["pairs"]) for name, one in by.items()} == {
        "policy 1": (1.0, 2),
        "policy 2": (0.5, 2),
    }


def test_the_metrics_are_json() -> None:
    metrics = reward_report([JudgedRanking(1, "a", [1.0])], seed=0).metrics()
    assert json.loads(json.dumps(metrics))["reward_reliability"][0]["count"] == 1
    assert set(metrics) == {
        "reward_accuracy",
        "reward_accuracy_low",
        "reward_accuracy_high",
        "reward_pairs",
        "reward_rankings",
        "reward_loss_heldout",
        "reward_ece",
        "reward_reliability",
        "reward_accuracy_by",
    }


def test_no_pair_has_no_figures() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        reward_report([], seed=0)


@pytest.mark.parametrize("margin", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_said(margin: float) -> None:
    with pytest.raises(BadInput, match=r"not finite numbers; lower training\.reward"):
        reward_report([JudgedRanking(1, "a", [0.5, margin])], seed=0)
