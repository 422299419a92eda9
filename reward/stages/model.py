"""The model that a stage works on: found, told from others, loaded with its device's sizes."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from reward.generation.conversations import prompt_ids
from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.devices import find_device
from reward.language_models.models import model_folder
from reward.language_models.profiles import TrainingProfile, as_json, training_profile
from reward.reward_modeling.reward_settings import HEAD
from reward.stages.result import read_settings
from reward.training.processes import Processes
from reward.training.sharded_model import home_of_backbone
from storage.errors import BadInput
from storage.settings import Settings

Progress = Callable[[str, float], None]
Say = Callable[[str], None]
Overrides = Mapping[str, Mapping[str, Any]]

LIBRARIES = ("rankloop", "torch", "transformers", "peft", "trl")
FEATURE = "feature"  # a reward model on features of the text, which trains none of the backbone
HEADER_BYTES = 8
EDGE_BYTES = 1 << 20


@dataclass(frozen=True)
class StageModel:
    """A loaded model with everything that a stage was asked to work with."""

    backbone: Backbone
    profile: TrainingProfile
    settings: Settings
    folder: Path
    fingerprint: str

    @property
    def device(self) -> torch.device:
        """Return where it lies."""
        return self.backbone.device

    @property
    def seed(self) -> int:
        """Return the seed from which every other is derived."""
        return self.settings.seed

    def ids_of(self, messages: list[dict[str, str]], where: str) -> list[int]:
        """Return a prompt's token ids; raise `BadInput` naming `where` if the model refuses it."""
        try:
            return prompt_ids(self.backbone.tokenizer, messages, self.settings.system_prompt)
        except BadInput as error:
            raise BadInput(f"{where}: {error}") from error

    def check_room(self, tokens: int, where: str, what: str) -> None:
        """Raise `BadInput` naming `where` if so many tokens are more than the model's context."""
        context = self.backbone.context_length
        if tokens > context:
            raise BadInput(
                f"{where}: {what} {tokens} tokens, more than the {context} of the model's context; "
                "shorten or remove it."
            )

    def made_with(self, stage: str, **more: Any) -> dict[str, Any]:
        """Return everything that the stage is made with, as JSON."""
        return described(
            stage,
            self.settings,
            self.profile,
            model=self.settings.model,
            model_fingerprint=self.fingerprint,
            tuning=self.backbone.tuning,
            device=self.device.type,
            **more,
        )


@dataclass(frozen=True)
class StageRun:
    """How a stage runs: settings in force, tuning method, sizes that differ, where progress goes.

    No tuning method ("") is that of the settings. The sizes are those of the device, then of the
    settings' `training`, then of `overrides`.
    """

    settings: Settings
    tuning: str = ""
    overrides: Overrides = field(default_factory=dict)
    #: hears what is being prepared and the share of it that is done
    progress: Progress = lambda what, share: None
    #: hears a line of progress
    say: Say = lambda line: None

    @cached_property
    def profile(self) -> TrainingProfile:
        """Return every size; raise `BadInput` naming a setting that does not exist."""
        device = find_device(self.settings.device)
        # As an override, since a method brings its own learning rate.
        return training_profile(device, self.settings.training, self.overrides, self._method())

    def _method(self) -> Overrides:
        if not self.tuning:
            return {}
        if self.tuning == FEATURE:
            return {"reward": {"tuning": FEATURE}}
        # A method that is asked for holds for the reward model, too, whatever its own setting is.
        own = self.tuning if self.tuning == HEAD else ""
        return {"backbone": {"tuning": self.tuning}, "reward": {"tuning": own}}

    @property
    def fits_features(self) -> bool:
        """Say whether a reward model is to be linear on features: by the option, or a setting."""
        return FEATURE in (self.tuning or self.profile.reward.tuning,)

    def sets(self, section: str, field: str) -> bool:
        """Say whether a size was given, so that no stage may choose it."""
        given = (self.settings.training.get(section, {}), self.overrides.get(section, {}))
        return any(field in each for each in given)

    def load(self, *, sharded: bool = False) -> StageModel:
        """Load the model that the settings name, preparing the embedded one where it is absent.

        `sharded`: what is trained is a copy whose weights the processes share out, where they were
        started so; this one then stays in the machine's memory, since it may fit on no device.

        Raises `BadInput` or `Unavailable` naming what is wrong.
        """
        settings, profile = self.settings, self.profile
        # Joined first: that chooses each process its own GPU.
        processes = Processes.current()
        if settings.threads:
            torch.set_num_threads(max(1, settings.threads // processes.count))
        folder = Path(model_folder(settings, self.progress))
        self.say(f"loading {settings.model}")
        backbone = load_backbone(
            folder,
            device=home_of_backbone(find_device(settings.device), sharded=sharded),
            dtype=profile.dtype,
            top_layers=profile.top_layers,
            rank=profile.rank,
            tuning=profile.tuning,
            virtual_tokens=profile.virtual_tokens,
            recomputed_layers=profile.recomputed_layers,
        )
        backbone.seed = settings.seed
        return StageModel(backbone, profile, settings, folder, fingerprint(folder))


def described(
    stage: str, settings: Settings, profile: TrainingProfile, **more: Any
) -> dict[str, Any]:
    """Return what a stage is made with, whether it has a model or not, as JSON."""
    return {
        "stage": stage,
        **more,
        "seed": settings.seed,
        "system_prompt": settings.system_prompt,
        "versions": {name: version(name) for name in LIBRARIES},
        "training": as_json(profile),
    }


def check_made_for(model: StageModel, folder: Path, what: str) -> None:
    """Raise `BadInput` where a folder says that it was trained on another model."""
    made_with = read_settings(folder)
    if made_with.get("model_fingerprint", model.fingerprint) != model.fingerprint:
        raise BadInput(
            f"The {what} {folder} was trained on another model ({made_with.get('model')}), not on "
            f"{model.settings.model}; give that one with --model."
        )


def fingerprint(folder: Path) -> str:
    """Return a hash that tells one model's folder from another's without reading gigabytes.

    It covers config.json and of every safetensors file the header, the size, and the first and
    last MiB of weights.
    """
    digest = hashlib.sha256()
    config = json.loads((folder / "config.json").read_text())
    config.pop("_name_or_path", None)
    digest.update(json.dumps(config, sort_keys=True).encode())
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as stream:
            header = int.from_bytes(stream.read(HEADER_BYTES), "little")
            digest.update(stream.read(min(header, size)))
            digest.update(stream.read(EDGE_BYTES))
            stream.seek(max(0, size - EDGE_BYTES))
            digest.update(stream.read())
    return digest.hexdigest()
