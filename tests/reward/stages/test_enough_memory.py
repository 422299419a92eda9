"""Memory that runs out in a stage, on any device and also while the model is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from reward.stages import evaluate, model
from reward.stages.enough_memory import enough_memory
from reward.stages.evaluate import EvaluateRequest, evaluate_stage
from reward.stages.model import StageRun
from reward.stages.ppo import PPORequest, train_ppo_stage
from reward.stages.reward import RewardRequest, train_reward_stage
from reward.stages.sft import SFTRequest, train_sft_stage
from storage.errors import Unavailable
from storage.settings import load_settings
from tests.ui.stages.written import prompts, rankings

ON_CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 8 bytes. Error code 12 (Cannot allocate memory)"
)
SIZES = {"evaluation": {"prompts": 2, "samples": 1, "heldout_tokens": 0}}


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*given: Any, **named: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    "error", [ON_CPU, MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")]
)
def test_every_devices_error_is_one_sentence(error: Exception) -> None:
    said = pytest.raises(Unavailable, match="not enough memory; lower this, or choose a smaller")
    with said, enough_memory("lower this"):
        raise error


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), enough_memory("lower this"):
        raise RuntimeError("shapes do not fit")


@pytest.fixture
def run(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageRun:
    monkeypatch.chdir(tmp_path)
    for name, rows in (
        ("rankings.jsonl", rankings()),
        ("prompts.jsonl", prompts()),
        ("demos.jsonl", [{**row, "completion": "yes"} for row in prompts()]),
    ):
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("reward").mkdir()
    Path("reward/head.safetensors").touch()
    settings = load_settings(model=str(tiny_folder), system_prompt="", device="cpu")
    return StageRun(settings, overrides=SIZES)


STAGES: dict[str, tuple[Callable[[StageRun], Any], str]] = {
    "reward": (
        lambda run: train_reward_stage(RewardRequest(Path("rankings.jsonl"), Path("out")), run),
        "reward.rankings_per_step",
    ),
    "sft": (
        lambda run: train_sft_stage(SFTRequest(Path("demos.jsonl"), Path("out")), run),
        "sft.micro_batch",
    ),
    "ppo": (
        lambda run: train_ppo_stage(
            PPORequest(Path("prompts.jsonl"), Path("reward"), Path("out")), run
        ),
        "ppo.micro_batch",
    ),
    "evaluate": (
        lambda run: evaluate_stage(EvaluateRequest("base", "base", Path("prompts.jsonl")), run),
        "sampling.max_new_tokens",
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_model_that_does_not_fit_is_said_in_every_stage(
    run: StageRun, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, setting = STAGES[stage]
    monkeypatch.setattr(model, "load_backbone", _raising(ON_CPU))
    with pytest.raises(Unavailable, match="choose a smaller model with --model") as said:
        start(run)
    assert f"--set {setting}=N" in str(said.value)
    assert not Path("out").exists()


def test_an_evaluation_that_does_not_fit_is_said(
    run: StageRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "evaluate_policies", _raising(MemoryError()))
    with pytest.raises(Unavailable, match="not enough memory"):
        STAGES["evaluate"][0](run)
