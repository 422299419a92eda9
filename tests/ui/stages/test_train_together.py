"""`rankloop train` in two processes: one set of words, one folder, one sentence for an error."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

from reward.running.launcher import Launch, launch_command
from storage.settings import load_settings
from tests.tiny_model import make_tiny_model
from tests.ui.stages.written import SIZES, prompts, rankings
from ui.cli.stages import run_in_processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[3]


SIZED = ["--model", "./tiny", *(word for size in SIZES for word in ("--set", size))]
REWARD = ["train", "reward", "--data", "r.jsonl", "--out", "reward", "--json"]
PPO = ["train", "ppo", "--prompts", "p.jsonl", "--reward", "reward", "--out", "policy", "--json"]
ALONE = {
    "PYTHONPATH": str(ROOT),
    "RANKLOOP_DEVICE": "cpu",
    "RANKLOOP_SYSTEM_PROMPT": "",
    "CUDA_VISIBLE_DEVICES": "",
    "DS_ACCELERATOR": "cpu",
}
TWO = {"RANKLOOP_PROCESSES": "2", "RANKLOOP_THREADS": "2"}


def _run(
    folder: Path, command: list[str], environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*command, *SIZED],
        cwd=folder,
        env={**os.environ, **ALONE, **environment},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


def _rankloop(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return _run(folder, [sys.executable, "-m", "ui.cli", *arguments], TWO)


def _launched(folder: Path, config: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run as `accelerate launch` would with one of `reward/launch/`, in two processes on CPU."""
    return _run(folder, launch_command(Launch(2, "cpu", config), "ui.cli", *arguments), {})


def _write(file: Path, rows: list) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_both_stages_train_in_two_processes_and_leave_one_folder(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "tiny")
    _write(tmp_path / "r.jsonl", rankings())
    _write(tmp_path / "p.jsonl", prompts())
    found = _rankloop(tmp_path, *REWARD)
    assert found.returncode == 0, found.stderr
    metrics = json.loads(found.stdout)
    assert 0 <= metrics["accuracy"] <= 1 and metrics["resumed"] is False
    assert found.stderr.count("testing on") == 1, found.stderr
    assert (tmp_path / "reward" / "head.safetensors").is_file()
    found = _rankloop(tmp_path, *PPO)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["iterations"] == 2
    assert found.stderr.count("iteration 2 of 2") == 1, found.stderr
    assert not (tmp_path / "policy" / "progress").exists()


@pytest.mark.parametrize("config", ["fsdp2", "deepspeed_zero3"])
def test_configurations_that_shard_train_the_same_roles(tmp_path: Path, config: str) -> None:
    if config == "deepspeed_zero3":
        pytest.importorskip("deepspeed")
    weights = []
    for launched in ("cpu2", config):
        folder = tmp_path / launched
        make_tiny_model(folder / "tiny")
        _write(folder / "r.jsonl", rankings())
        _write(folder / "p.jsonl", prompts())
        for arguments in (REWARD, PPO):
            found = _launched(folder, launched, *arguments)
            assert found.returncode == 0, found.stderr
        weights.append(_weights(folder))
    plain, sharing = weights
    assert plain.keys() == sharing.keys() and any("lora_B" in name for name in plain)
    for name, weight in plain.items():
        torch.testing.assert_close(sharing[name], weight, atol=2e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("launcher", ["local", "accelerate"])
def test_the_launcher_of_the_settings_starts_the_processes(
    launcher: Literal["local", "accelerate"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Launch] = []

    def start(launch: Launch, *command: str, **hearing: object) -> None:
        asked.append(launch)

    monkeypatch.setattr("reward.running.launcher.run_together", start)
    settings = load_settings(home=tmp_path, processes=2, device="cpu", launcher=launcher)
    run_in_processes(settings)
    (launch,) = asked
    assert (launch.processes, launch.accelerate) == (2, launcher == "accelerate")


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{file.relative_to(folder)}: {name}": weight
        for out in ("reward", "policy")
        for file in sorted((folder / out).rglob("*.safetensors"))
        for name, weight in load_file(file).items()
    }


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "tiny")
    _write(tmp_path / "r.jsonl", rankings())
    (tmp_path / "reward").mkdir()
    (tmp_path / "reward" / "mine.txt").write_text("kept")
    found = _rankloop(tmp_path, "train", "reward", "--data", "r.jsonl", "--out", "reward")
    assert found.returncode == 1
    lines = found.stderr.strip().splitlines()
    assert lines == ["reward is not an empty folder; name a new one, nothing was trained."]
