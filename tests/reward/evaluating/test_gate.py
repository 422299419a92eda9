"""The gate opens for a better policy and says why it stays shut."""

import json
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from reward.evaluating.evaluation import CANDIDATE, Comparison, EvaluationReport, win_rate
from reward.evaluating.gate import (
    LIVE,
    GateSettings,
    check,
    check_policy,
    check_reward_model,
    refusal,
)
from reward.evaluating.intervals import Interval, bootstrap_mean
from reward.evaluating.policy_figures import REWARD_MODEL, SECOND_REWARD_MODEL, PolicyFigures


def _exactly(value: float) -> Interval:
    return Interval(value, value, value, 80, 40)


def _figures(**changes: Any) -> PolicyFigures:
    scores = [[0.0, 0.1]] * 40
    figures = PolicyFigures(
        texts=[["a", "b"]] * 40,
        scores={REWARD_MODEL: scores, SECOND_REWARD_MODEL: scores},
        rewards={},
        kl=_exactly(0.0),
        kl_k3=_exactly(0.0),
        tokens=_exactly(40.0),
        ended=_exactly(0.5),
        repetition=_exactly(0.1),
        refusals=_exactly(0.1),
        distinct=(0.4, 0.8, 0.9),
        identical=0.1,
        overlap=None,
    )
    return replace(figures, **changes)


HIGHER = [[1.0, 0.05]] * 40
WINS = {REWARD_MODEL: HIGHER, SECOND_REWARD_MODEL: HIGHER}


def _report(ratio: float = 1.0, **changes: Any) -> EvaluationReport:
    candidate = _figures(**{"scores": WINS, "kl": _exactly(6.0), **changes})
    live = _figures()
    comparisons = [
        Comparison(LIVE, judge, win_rate(candidate, live, judge, 0)) for judge in candidate.scores
    ]
    perplexity = {CANDIDATE: 20.0 * ratio, "base": 20.0}
    return EvaluationReport({CANDIDATE: candidate, LIVE: live}, comparisons, perplexity)


def test_a_better_policy_passes() -> None:
    checks = check_policy(_report(), GateSettings())
    assert refusal(checks) == ""
    assert len({one.name for one in checks}) == len(checks) == 10


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"scores": {**WINS, REWARD_MODEL: [[0.0, 0.1]] * 40}}, "win_rate"),
        ({"scores": {**WINS, SECOND_REWARD_MODEL: [[0.0, 0.0]] * 40}}, "second_win_rate"),
        ({"kl": _exactly(41.0)}, "kl"),
        ({"tokens": _exactly(1.0)}, "length_ratio_low"),
        ({"tokens": _exactly(200.0)}, "length_ratio_high"),
        ({"identical": 0.6}, "identical"),
        ({"distinct": (0.4, 0.39, 0.9)}, "distinct_ratio"),
        ({"repetition": _exactly(0.21)}, "repetition_rise"),
        ({"refusals": _exactly(0.21)}, "refusal_rise"),
        ({"ratio": 1.6}, "perplexity_ratio"),
    ],
)
def test_each_condition_shuts_the_gate_alone(change: dict[str, Any], name: str) -> None:
    checks = check_policy(_report(**change), GateSettings())
    assert [one.name for one in checks if not one.passed] == [name]
    assert refusal(checks).startswith("Not published: ")


def test_without_a_second_reward_model_it_is_said_and_does_not_shut_the_gate() -> None:
    checks = check_policy(_report(scores={REWARD_MODEL: HIGHER}), GateSettings())
    (second,) = [one for one in checks if one.name == "second_win_rate"]
    assert second.figure is None and second.passed
    assert refusal(checks) == ""


@pytest.mark.parametrize(
    ("direction", "passes"),
    [
        ("at least", [False, True, True]),
        ("at most", [True, True, False]),
        ("above", [False, False, True]),
    ],
)
def test_directions_at_and_beside_the_bound(direction: Any, passes: list[bool]) -> None:
    figures = (0.4, 0.5, 0.6)
    assert [check("n", f, direction, 0.5, "m").passed for f in figures] == passes
    assert check("n", 0.4, direction, 0.5, "m").as_dict()["direction"] == direction


@pytest.mark.parametrize("direction", ["at least", "at most", "above"])
def test_what_is_no_number_never_passes(direction: Any) -> None:
    assert not check("n", float("nan"), direction, 0.5, "m").passed


@pytest.mark.parametrize("ratio", [inf, nan])
def test_a_perplexity_that_ran_away_is_refused_and_is_no_number_in_json(ratio: float) -> None:
    checks = check_policy(_report(ratio=ratio), GateSettings(max_perplexity_ratio=1e9))
    (failed,) = [one for one in checks if not one.passed]
    assert failed.name == "perplexity_ratio"
    assert "perplexity on held-out text" in refusal(checks)
    kept = json.loads(json.dumps([one.as_dict() for one in checks], allow_nan=False))
    assert [one["figure"] for one in kept if not one["passed"]] == [None]


def test_a_rate_above_minus_one_leaves_its_check_out() -> None:
    lost = {judge: [[-1.0, -1.0]] * 40 for judge in WINS}
    report = _report(scores=lost)
    assert refusal(check_policy(report, GateSettings())) != ""
    settings = GateSettings(min_win_rate=-1, min_second_win_rate=-1)
    assert refusal(check_policy(report, settings)) == ""


def test_a_coin_is_rejected_and_a_sound_reward_model_passes() -> None:
    coin = bootstrap_mean([[1.0, 0.0, 1.0, 0.0, 0.0, 1.0]] * 50)
    sound = bootstrap_mean([[1.0, 1.0, 1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]] * 25)
    assert "accuracy on unseen comparisons is 0.5" in refusal(
        check_reward_model(coin, GateSettings())
    )
    assert refusal(check_reward_model(sound, GateSettings())) == ""


def test_too_few_comparisons_are_said() -> None:
    few = bootstrap_mean([[1.0]] * 10)
    assert "comparisons that the reward model was tested on is 10" in refusal(
        check_reward_model(few, GateSettings())
    )
