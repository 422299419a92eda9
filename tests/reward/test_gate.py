"""The gate opens for a better policy and says why it stays shut."""

from dataclasses import replace

import pytest

from reward.evaluation import PolicyComparison, PolicyFigures, compare_policies
from reward.gate import GateSettings, check_policy, check_reward_model, refusal
from reward.intervals import bootstrap_mean

LIVE = PolicyFigures([[0.0, 0.1]] * 40, [["a", "b"]] * 40, 0.05, 0.0, 40.0, 0.5, 0.1)
BETTER = replace(LIVE, scores=[[1.0, 0.05]] * 40, kl=6.0, tokens=30.0)


def _comparison(candidate: PolicyFigures) -> PolicyComparison:
    return compare_policies(candidate, LIVE, seed=0)


def test_win_rate_counts_every_pair_of_a_prompt_and_ties_as_half() -> None:
    candidate = replace(LIVE, scores=[[0.0, 1.0]])
    live = replace(LIVE, scores=[[0.0, 0.5]])
    # 0 = 0 (½), 0 < 0.5 (0), 1 > 0 (1), 1 > 0.5 (1)
    assert compare_policies(candidate, live, seed=0).win_rate.value == 0.625


def test_a_better_policy_passes() -> None:
    checks = check_policy(_comparison(BETTER), GateSettings())
    assert refusal(checks) == ""
    assert len(checks) == 5


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"scores": LIVE.scores}, "win_rate"),
        ({"kl": 41.0}, "kl"),
        ({"tokens": 1.0}, "length_ratio_low"),
        ({"tokens": 200.0}, "length_ratio_high"),
        ({"identical": 0.6}, "identical"),
    ],
)
def test_each_condition_shuts_the_gate_alone(change: dict[str, object], name: str) -> None:
    checks = check_policy(_comparison(replace(BETTER, **change)), GateSettings())  # type: ignore[arg-type]
    assert [check.name for check in checks if not check.passed] == [name]
    assert refusal(checks).startswith("Not published: ")


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
