"""Progress of a step: what was saved comes back whole, or not at all."""

import math
from pathlib import Path

import torch

from reward.running.progress_folder import remove_progress
from reward.training.progress_checkpoint import TENSORS, load_progress, save_progress

URI = "checkpoints/round-1-progress"


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    save_progress(tmp_path, URI, "ppo", {"w": torch.arange(3.0)}, {"step": 2, "kl": math.pi})
    tensors, state = load_progress(tmp_path, URI, "ppo") or ({}, {})
    assert tensors["w"].tolist() == [0.0, 1.0, 2.0]
    assert state == {"step": 2, "kl": math.pi}


def test_a_newer_progress_takes_the_place_of_an_older(tmp_path: Path) -> None:
    for step in (1, 2):
        save_progress(tmp_path, URI, "ppo", {"w": torch.full((1,), float(step))}, {"step": step})
    found = load_progress(tmp_path, URI, "ppo")
    assert found is not None and found[1] == {"step": 2}
    assert [path.name for path in (tmp_path / URI).iterdir()] == ["ppo"]


def test_none_was_saved(tmp_path: Path) -> None:
    assert load_progress(tmp_path, URI, "ppo") is None


def test_a_broken_progress_counts_as_none(tmp_path: Path) -> None:
    save_progress(tmp_path, URI, "ppo", {"w": torch.zeros(2)}, {})
    (tmp_path / URI / "ppo" / TENSORS).write_bytes(b"half")
    assert load_progress(tmp_path, URI, "ppo") is None


def test_removed_is_gone_and_removing_twice_is_fine(tmp_path: Path) -> None:
    save_progress(tmp_path, URI, "ppo", {"w": torch.zeros(2)}, {})
    remove_progress(tmp_path, URI)
    remove_progress(tmp_path, URI)
    assert load_progress(tmp_path, URI, "ppo") is None
