"""Supervised fine-tuning alone: a policy fitted to the demonstrations of a file.

Loss is on the answer alone (Ouyang et al. 2022, §3.5; `reward/training/sft.py`). What comes out is
a policy that PPO can start from and be held to. Called by `rankloop train sft`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labeling.imports.demonstration_files import DemonstrationText, read_demonstrations
from reward.language_models.profiles import TrainingProfile
from reward.stages.curves import LossCurve, stage_tracker
from reward.stages.enough_memory import enough_memory, training_advice
from reward.stages.model import Say, StageModel, StageRun
from reward.stages.result import PROGRESS, Meter, described_file, finish, free_folder, running
from reward.steps.snapshot import end_token
from reward.training.sft import DemonstratedAnswer, demonstrated_answer, train_sft
from storage.errors import BadInput


@dataclass(frozen=True)
class SFTRequest:
    """What `rankloop train sft` was asked."""

    data: Path
    out: Path


@enough_memory(training_advice("sft.micro_batch"))
def train_sft_stage(request: SFTRequest, run: StageRun) -> dict[str, Any]:
    """Fine-tune and save a policy; return its metrics.

    Raises `BadInput`, `Conflict` or `Unavailable` in one sentence; nothing is left behind then.
    """
    folder = free_folder(request.out)
    texts = read_demonstrations(request.data)
    model = run.load(sharded=True)
    model = replace(model, profile=with_a_whole_pass(run, len(texts)))
    meter = Meter(model.device)
    demonstrations = short_demonstrations(model, request.data, texts)
    made_with = model.made_with("sft", data=described_file(request.data))
    with running(folder, made_with):
        curve = _fit(model, demonstrations, folder, run.say)
        losses = curve.losses
        metrics = {
            "loss_first": losses[0],
            "loss_last": sum(losses[-5:]) / len(losses[-5:]),
            "demonstrations": len(demonstrations),
            "demonstrations_left_out": len(texts) - len(demonstrations),
            "steps": curve.steps,
            "trainable_parameters": sum(p.numel() for p in model.backbone.parameters("policy")),
            "resumed": curve.went_on,
            "seconds": meter.seconds,
            "peak_memory_mb": meter.peak_memory_mb,
        }
        return finish(
            folder,
            made_with=made_with,
            metrics=metrics,
            save=lambda target: model.backbone.save_adapter("policy", target),
        )


def with_a_whole_pass(run: StageRun, demonstrations: int) -> TrainingProfile:
    """Return the profile with steps enough to read every demonstration once, if not set."""
    settings = run.profile.sft
    if run.sets("sft", "max_steps"):
        return run.profile
    steps = max(settings.max_steps, -(-demonstrations // settings.batch))
    return replace(run.profile, sft=replace(settings, max_steps=steps))


def short_demonstrations(
    model: StageModel, file: Path, texts: Sequence[DemonstrationText]
) -> list[DemonstratedAnswer]:
    """Return the demonstrations that `sft.max_tokens` admits, as token ids.

    Raises `BadInput` naming one that is longer than the model's context, or the limit where none
    is short enough.
    """
    end, limit = end_token(model.backbone), model.profile.sft.max_tokens
    found = []
    for one in texts:
        try:
            ids = demonstrated_answer(
                model.backbone.tokenizer,
                one.messages,
                one.text,
                system_prompt=model.settings.system_prompt,
                end_token=end,
            )
        except BadInput as error:
            raise BadInput(f"{one.where}: {error}") from error
        model.check_room(len(ids.prompt), one.where, "the prompt has")
        model.check_room(len(ids), one.where, "prompt and completion have")
        found.append(ids)
    short = [one for one in found if len(one) <= limit]
    if not short:
        raise BadInput(
            f"{file}: no demonstration has at most {limit} tokens (the shortest has "
            f"{min(map(len, found))}); raise the limit with --set sft.max_tokens=N."
        )
    return short


def _fit(
    model: StageModel, demonstrations: Sequence[DemonstratedAnswer], folder: Path, say: Say
) -> LossCurve:
    curve = LossCurve(folder, say)
    with stage_tracker(folder, model) as tracker:

        def on_step(step: int, steps: int, metrics: dict[str, float]) -> None:
            curve.add(step, steps, metrics["loss/sft"])
            tracker.log("sft", step, metrics)

        train_sft(
            model.backbone,
            "policy",
            demonstrations,
            model.profile.sft,
            seed=model.seed,
            on_step=on_step,
            folder=folder / PROGRESS / "sft",
        )
    return curve
