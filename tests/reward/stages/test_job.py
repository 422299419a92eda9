"""A job's process: it trains with every size that the worker has."""

import json
from pathlib import Path

import pytest
import torch

from reward.language_models.profiles import as_overrides, training_profile
from reward.stages import job
from reward.stages.job import Job, JobRun

SIZES = {"backbone": {"tuning": "prompt", "virtual_tokens": 5}, "reward": {"heads": 2}}


def test_the_processes_have_the_sizes_of_the_worker(tiny_folder: Path, tmp_path: Path) -> None:
    profile = training_profile(torch.device("cpu"), SIZES)
    given = Job(
        stage="reward",
        model=str(tiny_folder),
        device="cpu",
        training=as_overrides(profile),
        processes=1,
        threads=1,
        seed=3,
        home=str(tmp_path),
        progress=None,
        inputs={},
    )
    given.write(tmp_path)
    run = JobRun(tmp_path)
    assert run.profile == profile
    (tokens,) = run.backbone.parameters("policy")
    assert len(tokens) == 5


def _said(folder: Path, stage: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the error that a job's process says where its training raises `error`."""
    training = {"optimizer": {"optimizer": "dpo"}}
    (folder / "job.json").write_text(json.dumps({"stage": stage, "training": training}))

    class Failing:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def run(self) -> None:
            raise error

    told: list[dict[str, str]] = []
    monkeypatch.setattr(job, "JobRun", Failing)
    monkeypatch.setattr(job, "say", lambda folder, message: told.append(message))
    monkeypatch.setattr(job.job_folder, "claim", lambda folder: None)
    monkeypatch.setattr(job.sys, "argv", ["job", str(folder)])
    assert job.main() == 1
    return told[-1]["error"]


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: not enough memory"), MemoryError()]
)
def test_memory_that_runs_out_on_cpu_is_said(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _said(tmp_path, "reward", error, monkeypatch)
    assert said == "There is not enough memory; lower the sizes under training."


def test_weights_that_run_away_name_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = FloatingPointError("The loss is not finite")
    assert _said(tmp_path, "ppo", error, monkeypatch).endswith(
        "; lower training.optimizer.dpo_learning_rate."
    )
    assert _said(tmp_path, "sft", error, monkeypatch).endswith(
        "; lower training.sft.learning_rate."
    )


def test_other_errors_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        _said(tmp_path, "reward", RuntimeError("shapes do not fit"), monkeypatch)
