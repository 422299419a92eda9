"""A job's process: it trains with every size that the worker has."""

from pathlib import Path

import torch

from reward.language_models.profiles import as_overrides, training_profile
from reward.stages.job import Job, JobRun

SIZES = {"backbone": {"tuning": "prompt", "virtual_tokens": 5}, "reward": {"heads": 2}}


def test_the_processes_have_the_sizes_of_the_worker(tiny_folder: Path, tmp_path: Path) -> None:
    profile = training_profile(torch.device("cpu"), SIZES)
    job = Job(
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
    job.write(tmp_path)
    run = JobRun(tmp_path)
    assert run.profile == profile
    (tokens,) = run.backbone.parameters("policy")
    assert len(tokens) == 5
