"""Sizes of everything that trains, chosen for the device and overridden by settings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch

from reward.evaluation import EvaluationSettings
from reward.gate import GateSettings
from reward.ppo_settings import PPOSettings
from reward.reward_model import RewardSettings
from reward.sampling import SamplingSettings
from storage.errors import BadInput

# Candidates that differ visibly teach a reward model far more than K draws of one kind, so half of
# a task's completions answer the prompt with one of these appended. What trains sees the plain one.
HINTS = (
    "Answer in one short sentence.",
    "Answer in detail, with an example.",
    "End your answer with a question.",
    "Be warm and polite.",
)


@dataclass(frozen=True)
class GenerationSettings:
    """Say how the pool of tasks is filled."""

    batch: int = 96  #: sequences decoded together
    chunk_tasks: int = 8  #: tasks made between two looks at everything else
    low_water: int = 8  #: ready tasks below which a round is interrupted to make more
    max_prompt_tokens: int = 512  #: longer prompts are passed over
    resamples: int = 3  #: times that a near-identical completion is drawn again
    hints: tuple[str, ...] = HINTS  #: style hints for half of the completions


@dataclass(frozen=True)
class TrainingProfile:
    """Everything that a round needs to know about sizes, one section a stage."""

    name: str
    dtype: torch.dtype
    top_layers: int  #: layers that carry adapters; the trunk below is frozen and cached
    rank: int  #: LoRA's r
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    ppo: PPOSettings = field(default_factory=PPOSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    gate: GateSettings = field(default_factory=GateSettings)


CPU = TrainingProfile(
    name="cpu",
    dtype=torch.float32,
    top_layers=8,
    rank=16,
    sampling=SamplingSettings(max_new_tokens=64, temperature=0.7),
    evaluation=EvaluationSettings(prompts=48, samples=2),
)
GPU = TrainingProfile(
    name="gpu",
    dtype=torch.float32,
    top_layers=8,
    rank=32,
    sampling=SamplingSettings(max_new_tokens=256, temperature=0.7),
    generation=GenerationSettings(batch=128, chunk_tasks=32, max_prompt_tokens=1024),
    reward=RewardSettings(max_steps=400, newest_rankings=4000),
    ppo=PPOSettings(iterations=20, prompts_per_iteration=128, max_prompt_tokens=512),
    evaluation=EvaluationSettings(prompts=128, samples=2),
)


def training_profile(
    device: torch.device, *overrides: Mapping[str, Mapping[str, Any]]
) -> TrainingProfile:
    """Return the profile of a device with `overrides` (section → field → value) laid over it.

    Later overrides win. Raises `BadInput` naming a section or field that does not exist.
    """
    profile = CPU if device.type == "cpu" else GPU
    for override in overrides:
        for section, values in override.items():
            profile = _override(profile, section, values)
    return profile


def as_json(profile: TrainingProfile) -> dict[str, Any]:
    """Return every size of the profile as JSON."""
    return {**asdict(profile), "dtype": str(profile.dtype).removeprefix("torch.")}


def _override(profile: TrainingProfile, section: str, values: Mapping[str, Any]) -> TrainingProfile:
    if section == "backbone":
        unknown = set(values) - {"top_layers", "rank"}
        if unknown:
            raise BadInput(f"Setting training.backbone.{min(unknown)} does not exist.")
        return replace(profile, **values)
    sections = [f.name for f in fields(profile) if f.default_factory is not _missing()]
    if section not in sections:
        known = ", ".join(["backbone", *sections])
        raise BadInput(f"Setting training.{section} does not exist; the sections are {known}.")
    current = getattr(profile, section)
    known_fields = {f.name: f for f in fields(current)}
    for name, value in values.items():
        if name not in known_fields:
            raise BadInput(
                f"Setting training.{section}.{name} does not exist; the fields are "
                f"{', '.join(known_fields)}."
            )
        current = replace(current, **{name: _fit(section, name, value, getattr(current, name))})
    return replace(profile, **{section: current})


def _fit(section: str, name: str, value: Any, example: Any) -> Any:
    kind = type(example)
    try:
        return tuple(value) if kind is tuple else kind(value)
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"Setting training.{section}.{name} is {value!r} but must be a {kind.__name__}."
        ) from error


def _missing() -> Any:
    return fields(TrainingProfile)[0].default_factory
