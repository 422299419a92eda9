"""Training in several processes: the same as in one, and the end of one is the end of all."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from reward.training.processes import Processes

SCRIPT = Path(__file__).with_name("train_in_processes.py")
ROOT = SCRIPT.parents[3]


def _launch(count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(count),
              "--master_port", str(port)]  # fmt: skip
    return subprocess.run(
        [*launch, str(SCRIPT), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_train_as_one_does(tiny_folder: Path, tmp_path: Path) -> None:
    found = []
    for count in (1, 2):
        out = tmp_path / f"{count}.safetensors"
        ended = _launch(count, str(tiny_folder), str(out))
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert f"trained in {count} processes" in ended.stdout
        found.append(load_file(out))
    one, two = found
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=2e-4, rtol=2e-3, msg=name)


def test_a_process_that_dies_ends_the_others_soon(tiny_folder: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    ended = _launch(2, str(tiny_folder), str(tmp_path / "never.safetensors"), "1")
    assert ended.returncode != 0
    assert time.monotonic() - began < 120
    assert not (tmp_path / "never.safetensors").exists()


def test_one_process_has_everything_and_sums_nothing() -> None:
    alone = Processes()
    weight = nn.Parameter(torch.zeros(2))
    alone.sum_gradients([weight])
    assert weight.grad is None
    assert alone.share([1, 2, 3]) == [1, 2, 3]
    assert alone.sum(1, 2.5) == [1.0, 2.5]
    assert alone.gather("x") == ["x"]


def test_shares_are_every_nth() -> None:
    assert [Processes(rank, 2).share([0, 1, 2, 3, 4]) for rank in (0, 1)] == [[0, 2, 4], [1, 3]]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
