"""Supervised fine-tuning on demonstrations, with TRL's `SFTTrainer` (Ouyang et al. 2022, §3.5).

A demonstration is laid out as the policy sees it when it answers: the system prompt and the chat
template as `reward/generation/conversations.py` applies them, then the answer and the end token.
Loss is on the answer and its end token alone. A role of the backbone is trained in place. Leaves
out: packing (demonstrations are few), a held-out loss. Called by `reward/steps/sft.py`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from reward.generation.conversations import Messages, answer_ids, prompt_ids
from reward.language_models.backbone import Backbone
from reward.language_models.role_model import IGNORED, RoleModel
from reward.language_models.trained_shape import trained_shape
from reward.training.processes import Processes
from reward.training.progress_checkpoint import ProgressPlace
from reward.training.reading_order import StepParts, order_with_blanks, roomy_parts
from reward.training.sft_settings import SFTSettings
from reward.training.sharded_model import is_sharding, plain_model, take_back
from reward.training.trainer_progress import ResumableTrainer
from reward.training.trl_trainer import (
    InPlaceTrainer,
    OnStep,
    common_arguments,
    fitted_to_memory,
    in_order,
    on_one_device,
    quiet,
)
from storage.errors import BadInput

ORDER = "laid down"  # of demonstrations; progress that was made in another is not gone on from


@dataclass(frozen=True)
class DemonstratedAnswer:
    """The ids of a prompt, up to where the answer begins, and of the answer with its end token."""

    prompt: list[int]
    answer: list[int]

    @property
    def labels(self) -> list[int]:
        """Return what each token of prompt and answer is to be predicted as; `IGNORED`: not."""
        return [IGNORED] * len(self.prompt) + self.answer

    def __len__(self) -> int:
        """Return how many tokens prompt and answer have together."""
        return len(self.prompt) + len(self.answer)


def demonstrated_answer(
    tokenizer: PreTrainedTokenizerBase,
    messages: Messages,
    text: str,
    *,
    system_prompt: str,
    end_token: int,
) -> DemonstratedAnswer:
    """Return a demonstration as token ids; raise `BadInput` where the template refuses it."""
    prompt = prompt_ids(tokenizer, messages, system_prompt)
    return DemonstratedAnswer(prompt, answer_ids(tokenizer, text, ended=True, end_token=end_token))


def short_enough(
    demonstrations: Sequence[DemonstratedAnswer], settings: SFTSettings, context_length: int
) -> list[DemonstratedAnswer]:
    """Leave out what has more tokens than are trained on: an answer that is cut never ends."""
    limit = min(settings.max_tokens, context_length)
    return [one for one in demonstrations if len(one) <= limit]


class SFT(ResumableTrainer, InPlaceTrainer, SFTTrainer):
    """TRL's trainer, on a role of the backbone."""

    names: ClassVar = {"loss": "loss/sft"}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Report a step, its figures without the rounds in which every process had blanks."""
        kept = self._metrics["train"]
        # TRL gives a blank round 0; one with an answer has an entropy above that.
        shown = [entropy > 0.0 for entropy in kept.get("entropy", [])]
        if any(shown):
            for name in ("entropy", "mean_token_accuracy"):
                kept[name] = list(compress(kept[name], shown))
        super().log(logs, start_time)


def train_sft(
    backbone: Backbone,
    adapter: str,
    demonstrations: Sequence[DemonstratedAnswer],
    settings: SFTSettings,
    *,
    seed: int,
    on_step: OnStep = lambda step, steps, metrics: None,
    folder: Path | ProgressPlace | None = None,
) -> list[float]:
    """Fit the role `adapter`, from the weights that it has; return the loss of every step.

    `on_step` hears (step, steps, metrics by TRL's names). With a `folder`, progress is kept in it
    every `settings.save_steps` steps, and a run that was cut off goes on from there with the same
    random state. Raises `BadInput` without demonstrations, `FloatingPointError` where the loss is
    not finite, `Unavailable` where a single demonstration does not fit into memory.
    """
    if not demonstrations:
        raise BadInput("There is no demonstration to train on that is short enough.")
    place = ProgressPlace(folder.parent, folder.name) if isinstance(folder, Path) else folder
    weights = backbone.parameters(adapter)
    start = [weight.detach().clone() for weight in weights]

    def fit(micro_batch: int) -> list[float]:
        with torch.no_grad():
            for weight, first in zip(weights, start, strict=True):
                weight.copy_(first)
        sized = replace(settings, micro_batch=micro_batch)
        with quiet() as written, backbone.training(adapter):
            trainer = build_trainer(backbone, adapter, demonstrations, sized, written, seed=seed)
            trainer.begin(on_step)
            trainer.keep_progress(
                place, _fingerprint(backbone, adapter, demonstrations, settings, seed)
            )
            trainer.train_on()
            if is_sharding():
                take_back(backbone, adapter, trainer.accelerator.unwrap_model(trainer.model))
            return [logs["loss"] for logs in trainer.state.log_history if "loss" in logs]

    return fitted_to_memory(fit, settings.micro_batch, "a demonstration", whole=settings.batch)


def build_trainer(
    backbone: Backbone,
    adapter: str,
    demonstrations: Sequence[DemonstratedAnswer],
    settings: SFTSettings,
    place: str,
    *,
    seed: int,
) -> SFT:
    """Return TRL's trainer for the role; `place` is a folder that it may write to."""
    rows = [{"input_ids": one.prompt + one.answer, "labels": one.labels} for one in demonstrations]
    parts = _parts(settings)
    steps = planned_steps(len(rows), settings)
    order = order_with_blanks(len(rows), settings.batch, steps, parts, seed=seed)
    model: Any
    if is_sharding():
        model = plain_model(backbone, adapter)
    else:
        model = RoleModel(backbone, adapter, top1=True)
    trainer = SFT(
        model=model,
        args=_arguments(backbone, settings, parts, steps, place, seed=seed),
        train_dataset=in_order([*rows, _blank(backbone)], order),
        processing_class=backbone.tokenizer,
    )
    trainer.passes = steps / -(-len(rows) // settings.batch)
    return trainer


def _parts(settings: SFTSettings) -> StepParts:
    processes = Processes.current()
    if processes.count == 1:
        micro = settings.batch // settings.accumulation
        return StepParts(micro, settings.accumulation, 1)
    return roomy_parts(settings.batch, settings.micro_batch, processes.count)


def _blank(backbone: Backbone) -> dict[str, list[int]]:
    """Return a row without a token that carries loss: it changes no gradient."""
    end = backbone.end_tokens[0]
    return {"input_ids": [end, end], "labels": [IGNORED, IGNORED]}


def planned_steps(demonstrations: int, settings: SFTSettings) -> int:
    """Return how many optimiser steps a fit on so many demonstrations takes."""
    return min(settings.max_steps, settings.epochs * -(-demonstrations // settings.batch))


def _arguments(
    backbone: Backbone,
    settings: SFTSettings,
    parts: StepParts,
    steps: int,
    place: str,
    *,
    seed: int,
) -> SFTConfig:
    shared: dict[str, Any] = common_arguments(backbone, place, seed=seed)
    shared |= {"save_strategy": "steps", "save_steps": settings.save_steps}
    arguments = SFTConfig(
        **shared,
        max_steps=steps,
        per_device_train_batch_size=parts.micro,
        gradient_accumulation_steps=parts.rounds,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(settings.warmup_share * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    on_one_device(arguments)
    return arguments


def _fingerprint(
    backbone: Backbone,
    adapter: str,
    demonstrations: Sequence[DemonstratedAnswer],
    settings: SFTSettings,
    seed: int,
) -> str:
    texts = [[one.prompt, one.answer] for one in demonstrations]
    made_of = [ORDER, trained_shape(backbone, adapter), asdict(settings), seed, texts]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
