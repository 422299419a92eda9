"""The policy's step: what stands on the round, and what its processes go on from."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from reward.evaluating.gate import GateCheck, refusal
from reward.language_models.backbone import Backbone
from reward.language_models.profiles import training_profile
from reward.policy_optimization.ppo import State
from reward.reward_modeling.reward_model import RewardModel
from reward.running.runtime import Runtime
from reward.steps.outcome import StepContext
from reward.steps.ppo import climb, history_metrics, train_policy
from reward.steps.snapshot import take_snapshot
from reward.training.optimizer_settings import OptimizerSettings
from reward.training.processes import Processes
from storage.blobs import write_folder
from storage.engine import build_engine
from storage.errors import Unavailable
from storage.settings import Settings
from storage.tables import Round
from tests.reward.conftest import TRAINING
from tests.reward.other_process import OtherAt

RISE = 1e-3
EARLIER: dict[str, Any] = {"name": "reward_pairs", "passed": True}


@pytest.fixture
def context(judged: Settings) -> StepContext:
    """Return the context of a round that has a reward model, and a gate's first checks."""
    runtime = Runtime(build_engine(judged.url), judged)
    one = Round(project_id=runtime.project_id, number=1, seed=5, base_policy_id=1)
    one.metrics = {"gate": [EARLIER]}
    context = StepContext(runtime, one, lambda *point: None, lambda words: None)
    one.artefacts = dict(take_snapshot(context).artefacts)
    reward = RewardModel(runtime.backbone, "reward")
    torch.nn.init.normal_(reward.head.weight, generator=torch.Generator().manual_seed(2))
    with write_folder(runtime.home, "checkpoints/reward") as folder:
        reward.save(folder)
    one.artefacts |= {"reward": "checkpoints/reward"}
    return context


def _bounded(context: StepContext, **bounds: float) -> None:
    profile = context.runtime.profile
    ppo = replace(profile.ppo, iterations=12, learning_rate=1e-2, **bounds)
    context.runtime.profile = replace(profile, ppo=ppo)


def test_a_bound_that_was_left_is_an_alarm_and_not_the_policys_figure(context: StepContext) -> None:
    _bounded(context, max_kl_rise=RISE, min_entropy=0.0)
    metrics = json.loads(json.dumps(train_policy(context).metrics))
    assert 1 < metrics["ppo_iterations"] < 12
    assert metrics["ppo_kl_last"] - metrics["ppo_kl_first"] <= RISE
    earlier, alarm = metrics["gate"]
    assert earlier == EARLIER
    assert (alarm["name"], alarm["bound"], alarm["direction"]) == ("ppo_kl_rise", RISE, "at most")
    assert alarm["figure"] > RISE and not alarm["passed"]
    assert alarm["meaning"].endswith("in the last rollout of training, which was taken back")
    assert refusal([GateCheck(**alarm)]) == ""
    assert "Not published" in refusal([GateCheck(**{**alarm, "taken_back": False})])


def test_within_the_bounds_the_gates_checks_stay_as_they_are(context: StepContext) -> None:
    metrics = train_policy(context).metrics
    assert "gate" not in metrics
    assert metrics["ppo_iterations"] == 2


def test_a_round_counts_rollouts_and_not_their_updates(context: StepContext) -> None:
    profile = context.runtime.profile
    several = OptimizerSettings(optimizer="rloo", updates=2)
    rollout, again = {"objective/scores": 0.5, "objective/kl": 1.0}, {"loss/policy_avg": 0.1}
    found = history_metrics([rollout, again] * 3, replace(profile, optimizer=several))
    assert found["ppo_iterations"] == 3
    assert history_metrics([rollout] * 3, profile)["ppo_iterations"] == 3
    assert "ppo_score_last" not in history_metrics([again], profile)


@pytest.mark.parametrize(("mine", "other"), [(1, 1), (1, 0), (0, 1)])
def test_processes_go_on_from_one_iteration_or_not_at_all(
    backbone: Backbone, mine: int, other: int
) -> None:
    profile = training_profile(torch.device("cpu"), TRAINING)
    profile = replace(profile, ppo=replace(profile.ppo, iterations=1, prompts_per_iteration=2))
    backbone.add_adapter("policy")
    states: list[State] = []

    def climbed(kept: State | None, processes: Processes) -> list[dict[str, float]]:
        return climb(
            backbone,
            RewardModel(backbone, "reward"),
            [[1, 12, 13], [1, 14, 15]],
            profile,
            seed=0,
            reference=None,
            pretraining=[],
            kept=kept,
            report=lambda iteration, iterations, metrics: None,
            keep=states.append,
            processes=processes,
        )

    history = climbed(None, Processes()) if mine else []
    kept = states[-1] if mine else None
    if mine == other:
        assert climbed(kept, OtherAt(other)) == history
        return
    with pytest.raises(Unavailable, match="Not every process finds the progress that was kept"):
        climbed(kept, OtherAt(other))
