"""`rankloop train` in two processes: one set of words, one folder, one sentence for an error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_model import make_tiny_model
from tests.ui.stages.written import SIZES, prompts, rankings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[3]


def _rankloop(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    sizes = [word for size in SIZES for word in ("--set", size)]
    return subprocess.run(
        [sys.executable, "-m", "ui.cli", *arguments, "--model", "./tiny", *sizes],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RANKLOOP_PROCESSES": "2",
            "RANKLOOP_DEVICE": "cpu",
            "RANKLOOP_THREADS": "2",
            "RANKLOOP_SYSTEM_PROMPT": "",
        },
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


def _write(file: Path, rows: list) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_both_stages_train_in_two_processes_and_leave_one_folder(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "tiny")
    _write(tmp_path / "r.jsonl", rankings())
    _write(tmp_path / "p.jsonl", prompts())
    found = _rankloop(tmp_path, "train", "reward", "--data", "r.jsonl", "--out", "reward", "--json")
    assert found.returncode == 0, found.stderr
    metrics = json.loads(found.stdout)
    assert 0 <= metrics["accuracy"] <= 1 and metrics["resumed"] is False
    assert found.stderr.count("testing on") == 1, found.stderr
    assert (tmp_path / "reward" / "head.safetensors").is_file()
    found = _rankloop(
        tmp_path, "train", "ppo", "--prompts", "p.jsonl", "--reward", "reward", "--out", "policy",
        "--json",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["iterations"] == 2
    assert found.stderr.count("iteration 2 of 2") == 1, found.stderr
    assert not (tmp_path / "policy" / "progress").exists()


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "tiny")
    _write(tmp_path / "r.jsonl", rankings())
    (tmp_path / "reward").mkdir()
    (tmp_path / "reward" / "mine.txt").write_text("kept")
    found = _rankloop(tmp_path, "train", "reward", "--data", "r.jsonl", "--out", "reward")
    assert found.returncode == 1
    lines = found.stderr.strip().splitlines()
    assert lines == ["reward is not an empty folder; name a new one, nothing was trained."]
