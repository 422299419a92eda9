"""Random states of a trainer that was cut off."""

import random
from pathlib import Path

import numpy as np
import torch

from reward.language_models.backbone import Backbone
from reward.training.progress_checkpoint import load_progress
from reward.training.sft import train_sft
from reward.training.trainer_progress import NAME, ResumableTrainer
from tests.reward.training.test_sft import SETTINGS, demonstrations


def test_every_generator_is_put_back(backbone: Backbone, tmp_path: Path) -> None:
    def draw(*_: object) -> tuple[float, ...]:
        # One normal number leaves the second of its pair behind, in NumPy's state.
        return random.random(), float(np.random.normal()), float(torch.rand(1))

    folder = tmp_path / "progress"
    shown = demonstrations(backbone)
    train_sft(backbone, "policy", shown, SETTINGS, seed=3, folder=folder, on_step=draw)
    expected = draw()
    one = ResumableTrainer()
    one._kept = load_progress(folder.parent, folder.name, NAME)
    one._load_rng_state("anything")
    assert draw() == expected
