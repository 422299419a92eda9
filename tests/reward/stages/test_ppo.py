"""PPO alone: processes go on from one iteration, or not at all; what ended it is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from reward.policy_optimization.ppo_settings import PPOSettings
from reward.reward_modeling.reward_model import RewardModel
from reward.stages import ppo
from reward.stages.optimizers import PolicyTask
from reward.stages.ppo import bound_lines
from reward.stages.roles import Judge
from storage.errors import Unavailable
from tests.reward.other_process import OtherAt
from tests.reward.stages.test_reward import stage_run


@pytest.fixture
def task(tiny_folder: Path, tmp_path: Path) -> PolicyTask:
    sizes = {"iterations": 1, "prompts_per_iteration": 2, "epochs": 1, "minibatches": 1}
    run = stage_run(tiny_folder)
    model = replace(run, overrides={**run.overrides, "ppo": sizes}).load()
    model.backbone.add_adapter("policy")
    judge = Judge(RewardModel(model.backbone, "reward"), None)
    prompts = [[1, 12, 13], [1, 14, 15]]
    return PolicyTask(model, judge, prompts, (), None, tmp_path, lambda line: None)


def _together(
    task: PolicyTask, other: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[ppo.Curve, bool]:
    monkeypatch.setattr(ppo.Processes, "current", lambda: OtherAt(other))
    return ppo._ppo(task, [])


def test_processes_go_on_from_one_iteration(
    task: PolicyTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve, resumed = ppo._ppo(task, [])
    assert not resumed
    assert _together(task, len(curve), monkeypatch) == (curve, True)


@pytest.mark.parametrize(("mine", "other"), [(1, 0), (0, 1)])
def test_progress_that_one_process_alone_finds_is_said(
    task: PolicyTask, mine: int, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    if mine:
        ppo._ppo(task, [])
    with pytest.raises(Unavailable, match="Not every process finds the progress that was kept"):
        _together(replace(task, say=said.append), other, monkeypatch)
    assert said == []


def test_what_ended_training_is_said_with_the_setting_that_says_the_bound() -> None:
    first = {"objective/kl": 0.0, "policy/entropy_avg": 2.0, "val/left_bounds": 0.0}
    last = {"objective/kl": 13.8, "policy/entropy_avg": 0.5, "val/left_bounds": 1.0}
    rise, entropy = bound_lines([first, last], PPOSettings())
    assert rise.startswith("stopped after iteration 2: 13.8 nats a completion by which")
    assert "at most 12 (--set ppo.max_kl_rise=N)" in rise
    assert "0.25 entropy over" in entropy and "ppo.min_entropy" in entropy
    assert bound_lines([first, {**last, "val/left_bounds": 0.0}], PPOSettings()) == []
