"""Sizes of everything that trains, chosen for the device and overridden by settings."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError

from reward.evaluating.gate import GateSettings
from reward.evaluating.policy_figures import EvaluationSettings
from reward.generation.sampling import SamplingSettings
from reward.language_models.number_format import AUTO, computing_dtype
from reward.policy_optimization.ppo_settings import PPOSettings
from reward.reward_modeling.feature_choice import FeatureSettings
from reward.reward_modeling.reward_settings import HEAD, RewardSettings
from reward.training.optimizer_settings import OptimizerSettings
from reward.training.setting_bounds import at_least
from reward.training.sft_settings import SFTSettings
from reward.tuning.method import TUNINGS
from storage.errors import BadInput

DTYPES = (AUTO, "float32", "bfloat16")

# Rates are chosen for lora. A reward model by another method learns at these times as much; what a
# setting says wins. How each was measured stands in docs/tuning.md, "Learning rates".
REWARD_RATE_TIMES = {
    "full": 0.2,
    HEAD: 4.0,
    "prompt": 10.0,
    "prefix": 10.0,
    "adapter": 10.0,
    "bitfit": 10.0,
}
# The same of supervised fine-tuning; what is not here was not measured and learns at lora's rate.
SFT_RATE_TIMES = {"adapter": 10.0, "bitfit": 10.0}

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

    def __post_init__(self) -> None:
        """Raise `BadInput` naming a size that is none."""
        at_least("generation", self, 1, "batch", "chunk_tasks")
        at_least("generation", self, 0, "low_water", "resamples")


BACKBONE_FIELDS: dict[str, Any] = {
    "top_layers": int,
    "rank": int,
    "tuning": Literal[TUNINGS],
    "virtual_tokens": int,
    "recomputed_layers": int,
    "dtype": Literal[DTYPES],
}


@dataclass(frozen=True)
class TrainingProfile:
    """Everything that a round needs to know about sizes, one section a stage."""

    name: str
    dtype: torch.dtype  #: of the frozen weights
    top_layers: int  #: layers that carry adapters; the trunk below is frozen and cached
    rank: int  #: LoRA's r
    tuning: str = "lora"  #: how roles differ from the backbone, one of reward.tuning's methods
    virtual_tokens: int = 16  #: what `prompt` and `prefix` put before the text
    recomputed_layers: int = 0  #: trained layers whose activations the backward pass makes again
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    sft: SFTSettings = field(default_factory=SFTSettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    ppo: PPOSettings = field(default_factory=PPOSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
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
    evaluation=EvaluationSettings(prompts=128, samples=2, baseline_prompts=64),
)


def training_profile(
    device: torch.device, *overrides: Mapping[str, Mapping[str, Any]]
) -> TrainingProfile:
    """Return the profile of a device with `overrides` (section → field → value) laid over it.

    Later overrides win; where they leave the dtype to itself (`auto`) it is that of
    `computing_dtype`. Raises `BadInput` naming a section or field that does not exist.
    """
    profile = CPU if device.type == "cpu" else GPU
    dtype = AUTO
    for override in overrides:
        dtype = override.get("backbone", {}).get("dtype", dtype)
        for section, values in override.items():
            profile = _override(profile, section, values)
    if dtype == AUTO:
        profile = replace(profile, dtype=computing_dtype(device, profile.tuning))
    return replace(
        profile,
        reward=_reward_of_its_method(profile, _given(overrides, "reward")),
        sft=_sft_of_its_method(profile, _given(overrides, "sft")),
    )


def _given(overrides: Sequence[Mapping[str, Mapping[str, Any]]], section: str) -> Set[str]:
    return {name for override in overrides for name in override.get(section, {})}


def _sft_of_its_method(profile: TrainingProfile, given: Set[str]) -> SFTSettings:
    if "learning_rate" in given:
        return profile.sft
    times = SFT_RATE_TIMES.get(profile.tuning, 1.0)
    return replace(profile.sft, learning_rate=times * profile.sft.learning_rate)


def _reward_of_its_method(profile: TrainingProfile, given: Set[str]) -> RewardSettings:
    """Return the reward model's sizes with those of its method, but for what was `given`."""
    reward = profile.reward
    method = HEAD if reward.tuning == HEAD else profile.tuning
    sizes: dict[str, Any] = {
        "learning_rate": REWARD_RATE_TIMES.get(method, 1.0) * reward.learning_rate
    }
    if method == HEAD:
        # A step of heads alone costs next to nothing, so no pass is cut short.
        sizes["max_steps"] = reward.epochs * -(-reward.newest_rankings // reward.rankings_per_step)
    return replace(reward, **{name: size for name, size in sizes.items() if name not in given})


def as_json(profile: TrainingProfile) -> dict[str, Any]:
    """Return every size of the profile as JSON."""
    return {**asdict(profile), "dtype": str(profile.dtype).removeprefix("torch.")}


def as_overrides(profile: TrainingProfile) -> dict[str, dict[str, Any]]:
    """Return overrides that make this profile of any device's, as JSON."""
    sizes = as_json(profile)
    sections = {name: value for name, value in sizes.items() if isinstance(value, dict)}
    backbone = {name: sizes[name] for name in BACKBONE_FIELDS}
    return {"backbone": backbone, **sections}


def _override(profile: TrainingProfile, section: str, values: Mapping[str, Any]) -> TrainingProfile:
    if section == "backbone":
        return _override_backbone(profile, values)
    sections = [f.name for f in fields(profile) if is_dataclass(getattr(profile, f.name))]
    if section not in sections:
        known = ", ".join(["backbone", *sections])
        raise BadInput(f"Setting training.{section} does not exist; the sections are {known}.")
    current = getattr(profile, section)
    kinds = get_type_hints(type(current))
    fitted = {name: _fit(section, name, value, kinds) for name, value in values.items()}
    return replace(profile, **{section: replace(current, **fitted)})


def _override_backbone(profile: TrainingProfile, values: Mapping[str, Any]) -> TrainingProfile:
    fitted = {
        name: _fit("backbone", name, value, BACKBONE_FIELDS) for name, value in values.items()
    }
    dtype = fitted.pop("dtype", AUTO)
    if dtype != AUTO:
        fitted["dtype"] = getattr(torch, dtype)
    changed = replace(profile, **fitted)
    at_least("backbone", changed, 0, "top_layers", "recomputed_layers")
    at_least("backbone", changed, 1, "rank", "virtual_tokens")
    return changed


def _fit(section: str, name: str, value: Any, kinds: Mapping[str, Any]) -> Any:
    """Return the value as the field's type; raise `BadInput` naming the setting."""
    if name not in kinds:
        raise BadInput(
            f"Setting training.{section}.{name} does not exist; the fields are {', '.join(kinds)}."
        )
    try:
        return TypeAdapter(kinds[name]).validate_python(value)
    except ValidationError as error:
        raise BadInput(
            f"Setting training.{section}.{name} is {value!r}: {error.errors()[0]['msg']}."
        ) from error
