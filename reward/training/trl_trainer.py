"""What every trainer of TRL is given here: a role to train in place, and nothing to write or send.

Mixed into TRL's trainers by `reward/training/sft.py` and
`reward/policy_optimization/trl_optimizers.py`. Leaves out: mixed precision (the backbone has one
type already), gradient checkpointing (the trunk keeps nothing), model cards, checkpoints of
transformers' own (pickles; see `reward/training/trainer_progress.py`).
"""

import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import datasets
import torch
from transformers import PrinterCallback, TrainingArguments

from reward.language_models.backbone import Backbone
from reward.language_models.role_model import RoleModel
from reward.training.out_of_memory import Halving
from reward.training.processes import Processes
from reward.training.sharded_model import by_deepspeed, by_fsdp, count_on_cpu, shard_on_cpu

Found = TypeVar("Found")
OnStep = Callable[[int, int, dict[str, float]], None]


class InPlaceTrainer:
    """Stand before a trainer of TRL: its steps are reported by name and no one is told of them.

    `names` gives TRL's metrics the names that this project's own trainers use; others keep theirs.
    """

    names: ClassVar[Mapping[str, str]] = {}
    on_step: OnStep = staticmethod(lambda step, steps, metrics: None)
    #: how often the examples are read in all, where the run's order is laid down as one pass
    passes: float = 1.0

    def _send_telemetry(self) -> None:
        """Send nothing: TRL would report the trainer, the model's kind and the machine."""

    def create_accelerator_and_postprocess(self) -> None:
        """Get ready to train with whom this process was started with."""
        super().create_accelerator_and_postprocess()  # type: ignore[misc]
        if by_fsdp():
            shard_on_cpu(self)

    def begin(self, on_step: OnStep) -> None:
        """Get ready after TRL's `__init__`: report to `on_step`, print nothing."""
        trainer: Any = self
        self.on_step = on_step
        trainer.remove_callback(PrinterCallback)
        for model in (trainer.model, getattr(trainer, "ref_model", None)):
            if isinstance(model, RoleModel):
                # TRL has laid a language-model head over `forward`, which a role has already.
                vars(model).pop("forward", None)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Report a step's metrics; raise `FloatingPointError` where its loss is not finite."""
        trainer: Any = self
        super().log(logs, start_time)  # type: ignore[misc]
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]) or not math.isfinite(logs.get("grad_norm", 0.0)):
            raise FloatingPointError("The loss or its gradient is not a finite number")
        figures = {name: value for name, value in logs.items() if isinstance(value, int | float)}
        if "epoch" in figures:
            figures["epoch"] *= self.passes
        self.on_step(trainer.state.global_step, trainer.state.max_steps, self.renamed(figures))

    def renamed(self, figures: dict[str, float]) -> dict[str, float]:
        """Return a step's figures under this project's names."""
        return {self.names.get(name, name): float(value) for name, value in figures.items()}


@contextmanager
def quiet() -> Iterator[str]:
    """Yield a folder for what transformers must be able to write; no progress bars inside."""
    were_off = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory(prefix="rankloop-trl-") as folder, _ignored_warnings():
            yield folder
    finally:
        if not were_off:
            datasets.enable_progress_bars()


@contextmanager
def _ignored_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # TRL 1.16 sets an argument of transformers 5 by its old name.
        warnings.filterwarnings("ignore", "`gradient_checkpointing", FutureWarning)
        yield


def common_arguments(backbone: Backbone, folder: str, *, seed: int) -> dict[str, Any]:
    """Return the training arguments that every trainer of TRL gets here."""
    return {
        "output_dir": folder,
        "seed": seed,
        "use_cpu": backbone.device.type == "cpu" and not _shards_elsewhere(),
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        # A loss that is not finite ends the training; the filter would show the last good one.
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        # A run's order is laid down beforehand (`reward/training/reading_order.py`).
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }


def _shards_elsewhere() -> bool:
    """Say whether a shard's device is another library's choice; the backbone stays on the CPU."""
    return by_deepspeed() or (by_fsdp() and torch.cuda.is_available())


def in_order(rows: list[dict[str, Any]], order: Sequence[int]) -> datasets.Dataset:
    """Return the rows of a whole run, to be read from the first to the last."""
    return datasets.Dataset.from_list(rows).select(order)


def fitted_to_memory(
    fit: Callable[[int], Found], micro_batch: int, what: str, *, whole: int
) -> Found:
    """Return `fit(micro_batch)`, of at most the `whole` that makes an optimiser step.

    Where memory runs out in a single process, which then has the whole step, it is done again at
    the largest divisor of the whole up to half the size, since trainers take no others. Several
    processes would have to halve together, while the one that ran out is waited for. Raises
    `Unavailable` where a single `what` does not fit.
    """
    size = min(micro_batch, whole)
    if Processes.current().count > 1:
        return fit(size)
    return Halving(size, what, whole=whole).run(fit)


def on_one_device(arguments: TrainingArguments) -> TrainingArguments:
    """Keep transformers from spreading one process over every GPU that it sees."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    count_on_cpu()
    return arguments
