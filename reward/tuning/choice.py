"""Which class and which configuration stand behind the name of a tuning method."""

from collections.abc import Sequence
from typing import Any

from peft import IA3Config, LNTuningConfig, LoraConfig
from peft.utils import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
)
from torch import nn

from reward.language_models.model_shape import layer_of, linear_names
from reward.tuning.layer_adapters import LayerAdapters
from reward.tuning.method import TuningMethod
from reward.tuning.own_weights import OwnWeights
from reward.tuning.virtual_tokens import KeyValuePrefix, SoftPrompt
from storage.errors import Unavailable

# Where (IA)³ goes in a model that peft has no entry for: keys, values, and into the last product of
# the feed-forward part, as in the paper (Liu et al. 2022, §3.3).
USUAL_IA3 = ("k_proj", "v_proj", "down_proj")
USUAL_IA3_FEEDFORWARD = ("down_proj",)


def tuning_method(
    tuning: str,
    model: Any,
    *,
    first_layer: int,
    depth: int,
    rank: int,
    start_ids: Sequence[int],
    by_layer: bool,
) -> TuningMethod:
    """Return the method of that name for a model, above `first_layer` frozen layers.

    Raises `Unavailable` where the model has nothing that the method trains.
    """
    if tuning in ("full", "head"):
        return OwnWeights(tuning, model, first_layer=first_layer)
    if tuning == "prompt":
        return SoftPrompt(model, start_ids, by_layer=by_layer)
    if tuning == "prefix":
        return KeyValuePrefix(model, start_ids, by_layer=by_layer)
    if tuning == "adapter":
        return LayerAdapters(tuning, model, ia3_config(model, first_layer))
    if tuning == "bitfit":
        if any(name.endswith(".bias") for name in _trained(model, first_layer)):
            return OwnWeights(tuning, model, first_layer=first_layer)
        return LayerAdapters(tuning, model, norm_config(model, first_layer))
    return LayerAdapters(tuning, model, lora_config(model, first_layer, depth, rank))


def lora_config(model: Any, first_layer: int, depth: int, rank: int) -> LoraConfig:
    """Return a LoRA on every linear layer from `first_layer` on."""
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules=linear_names(model),
        layers_to_transform=None if first_layer == 0 else list(range(first_layer, depth)),
        layers_pattern=None if first_layer == 0 else "layers",
        task_type="CAUSAL_LM",
    )


def ia3_config(model: Any, first_layer: int) -> IA3Config:
    """Return an (IA)³ on keys, values and feed-forward from `first_layer` on."""
    kind = model.config.model_type
    targets = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(kind, USUAL_IA3)
    inner = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(kind, USUAL_IA3_FEEDFORWARD)

    def ending(suffixes: Sequence[str]) -> list[str]:
        ends = tuple(f".{suffix}" for suffix in suffixes)
        return [n for n, _ in _modules(model, first_layer) if n.endswith(ends)]

    if not ending(targets):
        raise Unavailable(
            f"Tuning method adapter does not know where keys and values are in a {kind} model; "
            "set training.backbone.tuning to lora."
        )
    return IA3Config(
        target_modules=ending(targets),
        feedforward_modules=ending(inner),
        task_type="CAUSAL_LM",
    )


def norm_config(model: Any, first_layer: int) -> LNTuningConfig:
    """Return an LN tuning of every norm with weights from `first_layer` on, the final one too."""
    norms = [
        name
        for name, module in _modules(model, first_layer)
        if "norm" in type(module).__name__.lower() and list(module.parameters(recurse=False))
    ]
    if not norms:
        raise Unavailable(
            "This model has neither biases nor norm weights, so tuning method bitfit has nothing "
            "to train; set training.backbone.tuning to lora."
        )
    return LNTuningConfig(target_modules=norms, task_type="CAUSAL_LM")


def _modules(model: Any, first_layer: int) -> list[tuple[str, nn.Module]]:
    return [
        (name, module)
        for name, module in model.named_modules()
        if (layer := layer_of(f"{name}.")) is None or layer >= first_layer
    ]


def _trained(model: Any, first_layer: int) -> list[str]:
    return [
        name
        for name, _ in model.named_parameters()
        if (layer := layer_of(name)) is None or layer >= first_layer
    ]
