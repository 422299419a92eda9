"""Checkpoints inside a run of transformers' Trainer: safetensors and JSON where it would pickle.

Mixed into a trainer, this replaces what `Trainer` writes and reads at `save_steps` (the weights,
`optimizer.pt`, `scheduler.pt`, `rng_state.pth`) by one progress checkpoint. Which batches were
seen is transformers' own doing: the sampler is seeded by run and epoch, and the first batches of
the epoch are skipped.
"""

import dataclasses
import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.trainer import TRAINER_STATE_NAME

from reward.training.optimizer_state import optimizer_tensors, restore_optimizer
from reward.training.processes import Processes
from reward.training.progress_checkpoint import (
    ProgressPlace,
    check_same_progress,
    load_progress,
    save_progress,
)
from reward.training.sharded_model import by_deepspeed, put, whole

NAME = "trainer"


class ResumableTrainer:
    """Stand before a `Trainer`; `keep_progress` says where, `train_on` begins or goes on."""

    place: ProgressPlace | None = None
    fingerprint: str = ""

    def keep_progress(self, place: ProgressPlace | None, fingerprint: str) -> None:
        """Keep progress in `place` (None: nowhere); go on only from one of this fingerprint."""
        self.place = place
        self.fingerprint = fingerprint
        self._kept: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def train_on(self) -> None:
        """Train from the last progress, or from the start."""
        trainer: Any = self
        if self.place is not None:
            self._kept = load_progress(self.place.home, self.place.uri, NAME)
        if self._kept is None or self._kept[1].get("fingerprint") != self.fingerprint:
            self._kept = None
        self._check_together()
        if self._kept is None:
            trainer.train()
            return
        with TemporaryDirectory(prefix="rankloop-resume-") as folder:
            # The one file of its own that transformers insists on, and the one that is JSON.
            file = Path(folder) / TRAINER_STATE_NAME
            file.write_text(json.dumps(self._kept[1]["trainer"]), encoding="utf-8")
            trainer.train(resume_from_checkpoint=folder)

    def _check_together(self) -> None:
        """Raise `Unavailable` unless all processes go on from the same step."""
        step = self._kept[1]["trainer"]["global_step"] if self._kept else 0
        check_same_progress(Processes.current(), step)

    # -- what Trainer calls ------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        del model, trial
        trainer: Any = self
        if self.place is None or by_deepspeed():
            return
        # Every process, since it may be that each holds a part.
        tensors = {f"weight.{i}": whole(one) for i, one in enumerate(self._trained())}
        moments = optimizer_tensors(_plain(trainer.optimizer), "optimizer")
        tensors |= {key: whole(moment) for key, moment in moments.items()}
        if not trainer.args.should_save:
            return
        tensors |= _random_tensors()
        state = {
            "fingerprint": self.fingerprint,
            "trainer": dataclasses.asdict(trainer.state),
            "rates": [group["lr"] for group in trainer.optimizer.param_groups],
            "scheduler": trainer.lr_scheduler.state_dict(),
            "python_random": random.getstate(),
            "numpy_random": _without_words(np.random.get_state(legacy=False)),
        }
        save_progress(self.place.home, self.place.uri, NAME, tensors, state)

    @torch.no_grad()
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        del resume_from_checkpoint, model
        tensors, _ = self._progress()
        for index, parameter in enumerate(self._trained()):
            parameter.copy_(put(parameter, tensors[f"weight.{index}"]))

    def _trained(self) -> list[nn.Parameter]:
        trainer: Any = self
        return [one for one in trainer.model.parameters() if one.requires_grad]

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        trainer: Any = self
        tensors, state = self._progress()
        restore_optimizer(_plain(trainer.optimizer), tensors, "optimizer")
        for group, rate in zip(trainer.optimizer.param_groups, state["rates"], strict=True):
            group["lr"] = rate
        trainer.lr_scheduler.load_state_dict(state["scheduler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        tensors, state = self._progress()
        version, numbers, gauss = state["python_random"]
        random.setstate((version, tuple(numbers), gauss))
        words = tensors["random.numpy"].numpy().astype(np.uint32)
        inner = {**state["numpy_random"]["state"], "key": words}
        np.random.set_state({**state["numpy_random"], "state": inner})
        torch.set_rng_state(tensors["random.cpu"])
        for index in range(torch.cuda.device_count()):
            if f"random.cuda.{index}" in tensors:
                torch.cuda.set_rng_state(tensors[f"random.cuda.{index}"], index)

    def _progress(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        assert self._kept is not None
        return self._kept


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimiser that accelerate has wrapped."""
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


def _random_tensors() -> dict[str, Tensor]:
    words = np.random.get_state(legacy=False)["state"]["key"].astype(np.int64)
    found = {"random.cpu": torch.get_rng_state(), "random.numpy": torch.from_numpy(words)}
    for index in range(torch.cuda.device_count()):
        found[f"random.cuda.{index}"] = torch.cuda.get_rng_state(index)
    return found


def _without_words(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "state": {"pos": int(state["state"]["pos"])}}
