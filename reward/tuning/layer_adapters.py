"""Methods that peft puts into layers: LoRA, IA3, and the norm weights of LN tuning.

LoRA: Hu et al. 2021, §4. (IA)³: Liu et al. 2022, §3.3. LN tuning: Zhao et al. 2023, §3.
"""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.ia3 import IA3Layer
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from reward.tuning.checkpoint import Checkpoint, write_peft
from reward.tuning.method import TuningMethod


class LayerAdapters(TuningMethod):
    """Roles that are peft adapters of one configuration each."""

    def __init__(self, tuning: str, model: Any, config: Any) -> None:
        """Wrap the model; peft wants a first adapter for that, which is the role `policy`."""
        self.tuning = tuning
        self.config = config
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5 by an attribute's old name, and tells how it adapts to
            # GPT-2's layers.
            warnings.simplefilter("ignore")
            self.model: PeftModel = get_peft_model(
                model, copy.deepcopy(config), adapter_name="policy"
            )
        self.model.requires_grad_(False)
        self._bind()

    def _bind(self) -> None:
        self._layers: list[Any] = [
            module for module in self.model.modules() if isinstance(module, BaseTunerLayer)
        ]
        self._kinds = {kind for layer in self._layers for kind in layer.adapter_layer_names}

    def roles(self) -> set[str]:
        """Return the names of the adapters."""
        return set(self.model.peft_config)

    def add(self, name: str, *, scalar: bool) -> None:
        """Add an adapter that starts as the identity, or reset it."""
        del scalar
        self._add(name, self.config)

    def _add(self, name: str, config: Any) -> None:
        # peft's `add_adapter` flips `requires_grad` of every adapter; which others are in training
        # must not change.
        trainable = {key for key, p in self.model.named_parameters() if p.requires_grad}
        device = next(self.model.parameters()).device
        self.remove(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.add_adapter(name, copy.deepcopy(config))
        self.model.to(device)
        for key, parameter in self.model.named_parameters():
            parameter.requires_grad_(key in trainable and not self._is_of(name, key))
        self._bind()

    def remove(self, name: str) -> None:
        """Forget an adapter."""
        if name in self.model.peft_config:
            with warnings.catch_warnings():
                # peft warns that it switches away from a deleted adapter; `activate` decides here.
                warnings.simplefilter("ignore")
                self.model.delete_adapter(name)

    def activate(self, name: str | None) -> None:
        """Switch to an adapter, or to none.

        peft's `set_adapter` also flips `requires_grad` of every adapter, which this must not.
        """
        for layer in self._layers:
            # A checkpoint of fewer layers leaves the others as they are.
            layer._disable_adapters = name is None or not _has(layer, name)
            layer._active_adapter = [name or "policy"]

    def parameters(self, name: str) -> list[nn.Parameter]:
        """Return the weights of one adapter."""
        return [p for key, p in self.model.named_parameters() if self._is_of(name, key)]

    def copy(self, source: str, target: str) -> None:
        """Make an adapter of the same configuration and weights."""
        self._add(target, self.model.peft_config[source])
        with torch.no_grad():
            for mine, theirs in zip(self.parameters(target), self.parameters(source), strict=True):
                mine.copy_(theirs)

    def save(self, name: str, folder: Path) -> None:
        """Write an adapter in peft's own layout."""
        state: dict[str, Tensor] = get_peft_model_state_dict(
            self.model, adapter_name=name, save_embedding_layers=False
        )
        write_peft(folder, self.model.peft_config[name], state)

    def load(self, name: str, checkpoint: Checkpoint) -> None:
        """Make an adapter of a checkpoint, of whatever rank it is."""
        try:
            self._add(name, checkpoint.peft)
            outcome: Any = set_peft_model_state_dict(
                self.model, dict(checkpoint.state), adapter_name=name
            )
        except (RuntimeError, ValueError) as error:
            raise checkpoint.of_another_model() from error
        missing = [key for key in outcome.missing_keys if self._is_of(name, key)]
        if outcome.unexpected_keys or missing:
            raise checkpoint.of_another_model()

    @contextmanager
    def merged(self, name: str | None) -> Iterator[None]:
        """Fold an adapter into the weights; afterwards they are put back from copies.

        Subtracting what was added would drift. Norms of one's own are swapped, not folded.
        """
        self.activate(name)
        folded = [] if name is None else [one for one in self._layers if _folds(one, name)]
        weights = [weight for one in folded for weight in one.get_base_layer().parameters()]
        originals = [(weight.data, _copy(weight.data)) for weight in weights]
        try:
            for layer in folded:
                layer.merge(adapter_names=[name])
            yield
        finally:
            for layer in folded:
                layer.merged_adapters = []
            for weight, (original, copied) in zip(weights, originals, strict=True):
                # peft changes some in place, and gives others a tensor of their own.
                weight.data = original.copy_(copied)

    def _is_of(self, adapter: str, parameter: str) -> bool:
        return any(f".{kind}.{adapter}." in f"{parameter}." for kind in self._kinds)


def _copy(weight: Tensor) -> Tensor:
    """Return a copy from which a weight can be put back bit for bit, of half the size if it can.

    Most models are published in bfloat16, and such a weight loses nothing by it in fp32.
    """
    half = weight.to(torch.bfloat16, copy=True)
    return half if torch.equal(half.to(weight.dtype), weight) else weight.clone()


def _has(layer: Any, name: str) -> bool:
    return any(name in getattr(layer, kind) for kind in layer.adapter_layer_names)


def _folds(layer: Any, name: str) -> bool:
    return _has(layer, name) and isinstance(layer, LoraLayer | IA3Layer)
