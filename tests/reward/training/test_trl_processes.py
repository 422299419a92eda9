"""TRL's trainers in several processes: what one does, from first to last and after a kill."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reward.training.reading_order import (
    even_parts,
    order_of_whole_steps,
    order_with_blanks,
    roomy_parts,
)
from storage.errors import BadInput

SCRIPT = Path(__file__).with_name("trl_in_processes.py")
ROOT = SCRIPT.parents[3]
TUNINGS = ("full", "head", "prompt", "prefix", "adapter", "bitfit")
METHODS = [f"{method}@lora" for method in ("sft", "rloo", "grpo", "dpo", "dpo-ref")]
METHODS += [f"{method}@{tuning}" for method in ("sft", "dpo") for tuning in TUNINGS]
Found = dict[str, torch.Tensor]


def launch(count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script in so many processes, one of them without a launcher."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = [sys.executable]
    if count > 1:
        started += ["-m", "torch.distributed.run", "--nproc_per_node", str(count),
                    "--master_port", port]  # fmt: skip
    return subprocess.run(
        [*started, str(SCRIPT), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def trained(count: int, model: Path, out: Path, methods: str, dying: str = "") -> Found:
    """Return what the script saved, trained in so many processes."""
    ended = launch(count, str(model), str(out), methods, dying)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert f"trained in {count} processes" in ended.stdout
    return load_file(out)


@pytest.fixture(scope="module")
def together(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return what two processes train."""
    return trained(2, tiny_folder, tmp_path_factory.mktemp("two") / "out", ",".join(METHODS))


@pytest.mark.slow
def test_two_processes_train_as_one_does(
    tiny_folder: Path, tmp_path: Path, together: Found
) -> None:
    alone = trained(1, tiny_folder, tmp_path / "one", ",".join(METHODS))
    assert alone.keys() == together.keys()
    for method in METHODS:
        assert any(name.startswith(f"{method}.weight") for name in alone), method
    for name in alone:
        # Seconds are no figure of the training.
        if not name.endswith("step_time"):
            torch.testing.assert_close(together[name], alone[name], atol=2e-5, rtol=2e-4, msg=name)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_and_the_run_goes_on(
    tiny_folder: Path, tmp_path: Path, together: Found
) -> None:
    out, began = tmp_path / "cut", time.monotonic()
    assert launch(2, str(tiny_folder), str(out), "sft@lora", "1:3").returncode != 0
    assert time.monotonic() - began < 120
    assert not out.exists()
    cut = trained(2, tiny_folder, out, "sft@lora", "-1")
    assert "sft@lora.1.loss/sft" not in cut
    for name in (name for name in cut if "weight" in name):
        assert torch.equal(cut[name], together[name]), name


def test_blanks_fill_up_what_a_pass_leaves() -> None:
    parts = roomy_parts(4, 2, 2)
    assert (parts.micro, parts.rounds, parts.slots) == (2, 1, 4)
    order = order_with_blanks(6, 4, 4, parts, seed=0)
    steps = [order[start : start + 4] for start in range(0, 16, 4)]
    assert [sum(index < 6 for index in step) for step in steps] == [4, 2, 4, 2]
    assert sorted(steps[0] + steps[1]) == sorted(steps[2] + steps[3]) == [0, 1, 2, 3, 4, 5, 6, 6]
    assert steps[:2] != steps[2:]
    # Each process has one of the two that are left: nobody waits for nothing.
    assert [steps[1][0] < 6, steps[1][2] < 6] == [True, True]


def test_a_step_is_the_same_for_any_number_of_processes() -> None:
    def steps(micro_batch: int, processes: int) -> list[list[int]]:
        parts = roomy_parts(8, micro_batch, processes)
        order = order_with_blanks(11, 8, 5, parts, seed=7)
        cut = [order[at : at + parts.slots] for at in range(0, len(order), parts.slots)]
        return [sorted(index for index in step if index < 11) for step in cut]

    assert steps(8, 1) == steps(2, 1) == steps(4, 2) == steps(1, 3) == steps(2, 8)


def test_whole_steps_go_on_into_the_next_pass() -> None:
    order = order_of_whole_steps(3, 4, 3, seed=0)
    assert len(order) == 12
    assert all(sorted(order[at : at + 3]) == [0, 1, 2] for at in (0, 3, 6, 9))


def test_what_processes_do_not_divide_is_refused() -> None:
    assert even_parts(12, 4, 3, "pairs").rounds == 1
    with pytest.raises(BadInput, match="pairs is 16, which 3 processes do not divide"):
        even_parts(16, 4, 3, "pairs")
    with pytest.raises(BadInput, match="is 16, 8 for each of 2 processes, which micro_batch 3"):
        even_parts(16, 3, 2, "pairs")
