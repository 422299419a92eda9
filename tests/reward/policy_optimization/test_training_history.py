"""What stands of a history: a rollout that was taken back counts for nothing but its alarm."""

import pytest

from reward.policy_optimization.ppo_settings import PPOSettings
from reward.policy_optimization.training_history import (
    history_figures,
    left_bounds,
    updates_a_rollout,
)
from reward.training.optimizer_settings import OptimizerSettings


def _rollout(score: float, kl: float, **more: float) -> dict[str, float]:
    return {"objective/scores": score, "objective/kl": kl, **more}


def test_the_last_figures_are_of_the_rollout_before_one_that_was_taken_back() -> None:
    within = [_rollout(0.1, 0.0), _rollout(0.6, 3.0)]
    left = {"val/left_bounds": 1.0}
    found = history_figures([*within, _rollout(9.0, 99.0, **left)])
    assert (found.score_last, found.kl_last, found.left_bounds) == (0.6, 3.0, True)
    assert (found.score_first, found.kl_first, found.rollouts) == (0.1, 0.0, 3)
    kept = history_figures([*within, _rollout(0.9, 9.0, **{"val/left_bounds": 0.0})])
    assert (kept.score_last, kept.kl_last, kept.left_bounds) == (0.9, 9.0, False)
    # The first one was made by the policy that training began with, which is kept.
    assert history_figures([_rollout(0.2, 50.0, **left)]).kl_last == 50.0


def test_a_figure_is_taken_from_the_steps_that_have_it() -> None:
    again = {"loss/policy_avg": 0.3}
    history = [again, _rollout(0.1, 0.0), again, _rollout(0.5, 2.0), again]
    found = history_figures(history, updates=2)
    assert (found.score_first, found.score_last, found.kl_last) == (0.1, 0.5, 2.0)
    assert found.rollouts == 3
    none = history_figures([again, again], updates=2)
    assert (none.score_first, none.kl_last, none.rollouts) == (None, None, 1)


@pytest.mark.parametrize(
    ("optimizer", "updates"), [("ppo", 1), ("rloo", 3), ("grpo", 3), ("dpo", 1)]
)
def test_only_some_optimizers_make_several_updates_of_a_rollout(
    optimizer: str, updates: int
) -> None:
    assert updates_a_rollout(optimizer, OptimizerSettings(updates=3)) == updates


def test_every_bound_that_was_left_is_told_with_its_figure() -> None:
    settings = PPOSettings(max_kl=40.0, max_kl_rise=12.0, min_entropy=0.5)
    first = {"objective/kl": 10.0, "policy/entropy_avg": 2.0}

    def left(kl: float, entropy: float) -> list[tuple[str, float, str, float]]:
        now = {"objective/kl": kl, "policy/entropy_avg": entropy}
        found = left_bounds(first, now, settings)
        return [(one.name, one.figure, one.direction, one.bound) for one in found]

    assert left(22.0, 1.0) == []
    assert left(22.5, 1.0) == [("ppo_kl_rise", 12.5, "at most", 12.0)]
    assert left(10.0, 0.5) == [("ppo_entropy", 0.25, "at least", 0.5)]
    assert left(41.0, 0.5) == [
        ("ppo_kl", 41.0, "at most", 40.0),
        ("ppo_kl_rise", 31.0, "at most", 12.0),
        ("ppo_entropy", 0.25, "at least", 0.5),
    ]
