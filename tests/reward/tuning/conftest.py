"""Backbones of every tuning method, on a tiny model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reward.language_models.backbone import Backbone, load_backbone

LoadTuned = Callable[..., Backbone]


@pytest.fixture
def tuned(tiny_folder: Path) -> LoadTuned:
    """Return a function that loads a backbone of four layers, the top two trained."""

    def load(tuning: str, folder: Path = tiny_folder, **sizes: int) -> Backbone:
        wanted = {"top_layers": 2, "rank": 4, "virtual_tokens": 5, **sizes}
        return load_backbone(
            folder, device=torch.device("cpu"), dtype=torch.float32, tuning=tuning, **wanted
        )

    return load
