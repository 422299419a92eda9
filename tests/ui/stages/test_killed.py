"""`rankloop train` killed with SIGKILL inside a stage: the same command ends with the same bits."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_model import make_tiny_model
from tests.ui.stages.written import SIZES, prompts, rankings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[3]

# Dies right after progress was saved for the KILL_AT-th time, as a process that is killed there.
DYING = """
import importlib, os, signal, sys
place = importlib.import_module(os.environ["SAVED_BY"])
save, saved = place.save_progress, []

def save_and_die(*given):
    save(*given)
    saved.append(given)
    if len(saved) == int(os.environ["KILL_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)

place.save_progress = save_and_die
from ui.cli.commands import cli
from ui.cli.frame import run
sys.exit(run(cli, sys.argv[1:]))
"""
STAGES = {
    "reward": ("reward.reward_modeling.reward_training", ("--data", "r.jsonl"), 3),
    "sft": ("reward.training.trainer_progress", ("--data", "d.jsonl"), 2),
    "ppo": ("reward.stages.ppo", ("--prompts", "p.jsonl", "--reward", "judge"), 1),
}
MORE = (
    "reward.progress_seconds=0",
    "ppo.iterations=3",
    "sft.max_steps=6",
    "sft.batch=4",
    "sft.save_steps=2",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    make_tiny_model(folder / "tiny")
    _write(folder / "r.jsonl", rankings())
    _write(folder / "p.jsonl", prompts())
    _write(folder / "d.jsonl", [{**row, "completion": "yes yes"} for row in prompts()])
    ended = _rankloop(folder, "reward", "judge", kill_at=0)
    assert ended.returncode == 0, ended.stderr
    return folder


def _rankloop(
    folder: Path, stage: str, out: str, *, kill_at: int
) -> "subprocess.CompletedProcess[str]":
    saved_by, data, _ = STAGES[stage]
    sizes = [word for size in (*SIZES, *MORE) for word in ("--set", size)]
    command = ["train", stage, *data, "--out", out, "--model", "./tiny", "--json", *sizes]
    return subprocess.run(
        [sys.executable, "-c", DYING, *command],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SAVED_BY": saved_by,
            "KILL_AT": str(kill_at),
            "OMP_NUM_THREADS": "1",
            "RANKLOOP_DEVICE": "cpu",
            "RANKLOOP_SYSTEM_PROMPT": "",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _write(file: Path, rows: list) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _weights(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_was_killed_ends_with_the_same_bits(folder: Path, stage: str) -> None:
    whole = _rankloop(folder, stage, f"{stage}-whole", kill_at=0)
    assert whole.returncode == 0, whole.stderr
    killed = _rankloop(folder, stage, f"{stage}-cut", kill_at=STAGES[stage][2])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not _weights(folder / f"{stage}-cut")
    again = _rankloop(folder, stage, f"{stage}-cut", kill_at=0)
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert found["resumed"] is True
    assert _weights(folder / f"{stage}-cut") == _weights(folder / f"{stage}-whole") != {}
    for figure in ("loss_last", "reward_mean_last", "kl"):
        assert found.get(figure) == json.loads(whole.stdout).get(figure)
