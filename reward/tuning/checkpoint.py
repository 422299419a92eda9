"""A role's weights on disk: one safetensors file, and beside it what says which method made it.

Where peft has the method the folder has peft's own layout, so `PeftModel.from_pretrained` reads it.
Otherwise the weights have the names that the model gives them, and `tuning.json` says the rest.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftConfig
from safetensors.torch import load_file, save_file
from torch import Tensor

from reward.language_models.model_shape import layer_of
from storage.errors import Unavailable

ADAPTER_FILE = "adapter_model.safetensors"
TUNING_FILE = "tuning.json"
PEFT_FILE = "adapter_config.json"
METHOD_OF_PEFT_TYPE = {
    "LORA": "lora",
    "IA3": "adapter",
    "LN_TUNING": "bitfit",
    "PROMPT_TUNING": "prompt",
    "PREFIX_TUNING": "prefix",
}


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds: the method, peft's configuration or ours, and the weights."""

    folder: Path
    tuning: str
    peft: Any  #: peft's configuration, where peft has the method
    own: dict[str, Any]  #: what `tuning.json` says, where it has not
    state: dict[str, Tensor]

    @property
    def lowest_layer(self) -> int:
        """Return the lowest layer whose weights are in here."""
        if self.own:
            return int(self.own["first_layer"])
        found = [layer_of(key) for key in self.state]
        return min((layer for layer in found if layer is not None), default=0)

    def of_another_model(self) -> Unavailable:
        """Return the error that says so."""
        return Unavailable(
            f"The checkpoint file {self.folder / ADAPTER_FILE} was made for another model; set "
            "RANKLOOP_MODEL to the one that it was trained on."
        )


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a folder that a role was saved to; raise `Unavailable` naming the file."""
    file = folder / ADAPTER_FILE
    try:
        state = load_file(file)
        if (folder / TUNING_FILE).exists():
            own = json.loads((folder / TUNING_FILE).read_text(encoding="utf-8"))
            return Checkpoint(folder, str(own["tuning"]), None, own, state)
        kind = json.loads((folder / PEFT_FILE).read_text(encoding="utf-8"))["peft_type"]
        config: Any = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = False
        return Checkpoint(folder, METHOD_OF_PEFT_TYPE.get(kind, str(kind)), config, {}, state)
    except Exception as error:
        raise Unavailable(f"The checkpoint file {file} cannot be read: {error}.") from error


def write_own(folder: Path, description: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write weights under the model's own names, and `tuning.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(description), indent=2) + "\n"
    (folder / TUNING_FILE).write_text(text, encoding="utf-8")
    _write_state(folder, state)


def write_peft(folder: Path, config: Any, state: Mapping[str, Tensor]) -> None:
    """Write weights in peft's own layout."""
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    _write_state(folder, state)


def _write_state(folder: Path, state: Mapping[str, Tensor]) -> None:
    kept = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    save_file(kept, folder / ADAPTER_FILE)
