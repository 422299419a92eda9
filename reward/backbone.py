"""One frozen language model that serves every role: policy, reference, value and reward.

Each role is a LoRA adapter (Hu et al. 2021, §4) in the top layers; the reference is no adapter at
all. The layers below, the trunk, are the same function for every role and epoch, so their
activations are computed once for a batch and reused. Leaves out: full fine-tuning.
"""

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from reward.model_shape import (
    checked_output_weight,
    decoder_of,
    end_tokens_of,
    linear_names,
    run_layers,
    runs_by_layer,
    store_columns_first,
)
from reward.packing import Layout
from storage.errors import Unavailable

ADAPTER_FILE = "adapter_model.safetensors"


class Backbone:
    """A frozen causal language model, its tokenizer, and named adapters in its top layers."""

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        device: torch.device,
        top_layers: int,
        rank: int,
    ) -> None:
        """Freeze `model`, and find out whether its layers can be run one by one.

        Raises `Unavailable` where its logits are not its last states times the output embedding.
        """
        self.tokenizer = tokenizer
        self.device = device
        self.seed = 0  #: what new adapters are drawn from
        model.to(device)
        model.requires_grad_(False)
        model.eval()
        if device.type == "cpu":
            store_columns_first(model)
        sizes = model.config.get_text_config()
        self.depth = int(sizes.num_hidden_layers)
        self.top_layers = min(top_layers, self.depth) if top_layers > 0 else self.depth
        self.runs_by_layer = runs_by_layer(model, self.depth - self.top_layers)
        if not self.runs_by_layer:
            self.top_layers = self.depth
        self.split = self.depth - self.top_layers
        self.lora = LoraConfig(
            r=rank,
            lora_alpha=2 * rank,
            lora_dropout=0.0,
            target_modules=linear_names(model),
            layers_to_transform=None if self.split == 0 else list(range(self.split, self.depth)),
            layers_pattern=None if self.split == 0 else "layers",
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5 by an attribute's old name, and tells how it adapts to
            # GPT-2's layers.
            warnings.simplefilter("ignore")
            self.model: PeftModel = get_peft_model(model, self.lora, adapter_name="policy")
        self.model.requires_grad_(False)
        self.hidden_size = int(sizes.hidden_size)
        self.context_length = int(getattr(sizes, "max_position_embeddings", 2048))
        self.output_weight: Tensor = checked_output_weight(model)
        self.end_tokens = end_tokens_of(model, tokenizer)
        self._body: Any = decoder_of(model)
        self._bind()

    def _bind(self) -> None:
        self._layers: list[Any] = [m for m in self.model.modules() if isinstance(m, LoraLayer)]

    # -- adapters ------------------------------------------------------------------------------

    def add_adapter(self, name: str, config: LoraConfig | None = None) -> None:
        """Add an adapter that starts as the identity (its B matrices are zero), or reset it.

        Its A matrices are drawn from `seed` and the name alone. Which other adapters are in
        training does not change.
        """
        trainable = {key for key, p in self.model.named_parameters() if p.requires_grad}
        with warnings.catch_warnings(), torch.random.fork_rng():
            # peft warns that it switches away from a deleted adapter; `use` decides here.
            warnings.simplefilter("ignore")
            torch.manual_seed(self.seed ^ zlib.crc32(name.encode()))
            if name in self.model.peft_config:
                self.model.delete_adapter(name)
            self.model.add_adapter(name, config or self.lora)
        self.model.to(self.device)
        for key, parameter in self.model.named_parameters():
            parameter.requires_grad_(key in trainable and not _is_of(name, key))
        self._bind()

    def parameters(self, name: str) -> list[nn.Parameter]:
        """Return the weights of one adapter."""
        return [p for key, p in self.model.named_parameters() if _is_of(name, key)]

    @contextmanager
    def training(self, name: str) -> Iterator[list[nn.Parameter]]:
        """Let gradients reach one adapter inside the block."""
        parameters = self.parameters(name)
        for parameter in parameters:
            parameter.requires_grad_(True)
        try:
            yield parameters
        finally:
            for parameter in parameters:
                parameter.requires_grad_(False)

    def use(self, name: str | None) -> None:
        """Switch to an adapter, or to none for the reference.

        peft's `set_adapter` also flips `requires_grad` of every adapter, which this must not.
        """
        for layer in self._layers:
            layer._disable_adapters = name is None
            layer._active_adapter = [name or "policy"]

    def _state(self, name: str) -> dict[str, Tensor]:
        state: dict[str, Tensor] = get_peft_model_state_dict(
            self.model, adapter_name=name, save_embedding_layers=False
        )
        return state

    def save_adapter(self, name: str, folder: Path) -> None:
        """Write an adapter in peft's own layout, so that `PeftModel.from_pretrained` reads it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.peft_config[name].save_pretrained(str(folder))
        state = {key: value.detach().cpu().contiguous() for key, value in self._state(name).items()}
        save_file(state, folder / ADAPTER_FILE)

    def load_adapter(self, name: str, folder: Path) -> None:
        """Read an adapter, of whatever rank; raise `Unavailable` naming what cannot be used."""
        file = folder / ADAPTER_FILE
        try:
            config: Any = LoraConfig.from_pretrained(str(folder))
            state = load_file(file)
        except Exception as error:
            raise Unavailable(f"The checkpoint file {file} cannot be read: {error}.") from error
        lowest = min(config.layers_to_transform or [0])
        if lowest < self.split:
            raise Unavailable(
                f"The checkpoint {folder} has adapters from layer {lowest} on, below the "
                f"{self.top_layers} that are trained here; set training.backbone.top_layers to "
                f"{self.depth - lowest}."
            )
        config.inference_mode = False
        try:
            self.add_adapter(name, config)
            outcome: Any = set_peft_model_state_dict(self.model, state, adapter_name=name)
        except (RuntimeError, ValueError) as error:
            raise _of_another_model(file) from error
        missing = [key for key in outcome.missing_keys if _is_of(name, key)]
        if outcome.unexpected_keys or missing:
            raise _of_another_model(file)

    @contextmanager
    def merged(self, name: str | None) -> Iterator[None]:
        """Fold an adapter into the weights inside the block: decoding is then as fast as without.

        The weights are put back from copies afterwards, since subtracting what was added drifts.
        """
        self.use(name)
        if name is None:
            yield
            return
        active = [layer for layer in self._layers if name in layer.lora_A]
        originals = [layer.get_base_layer().weight.detach().clone() for layer in active]
        try:
            for layer in active:
                layer.merge(adapter_names=[name])
            yield
        finally:
            for layer, original in zip(active, originals, strict=True):
                layer.merged_adapters = []
                layer.get_base_layer().weight.data.copy_(original)

    # -- forward -------------------------------------------------------------------------------

    def trunk(self, ids: Tensor, layout: Layout | None = None) -> Tensor:
        """Run the frozen layers below every adapter.

        Args:
            ids: (B, T) token ids, padded on the right. Causal attention never looks right, so
                padding needs no mask and its outputs are never read.
            layout: positions and mask of a packed ranking (only where `runs_by_layer`).

        Returns:
            (B, T, H) activations, the same for every role; the ids themselves where the model
            cannot be split.
        """
        if self.split == 0:
            return ids
        with torch.no_grad():
            return run_layers(self._body, self._body.embed_tokens(ids), 0, self.split, layout)

    def top(self, trunk: Tensor, name: str | None, layout: Layout | None = None) -> Tensor:
        """Run the layers that adapters live in, as one role: (B, T, H) after the final norm."""
        self.use(name)
        if not self.runs_by_layer:
            out: Tensor = self._body(input_ids=trunk, use_cache=False).last_hidden_state
            return out
        hidden = self._body.embed_tokens(trunk) if self.split == 0 else trunk
        return self._body.norm(run_layers(self._body, hidden, self.split, self.depth, layout))

    def step(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        """Run a decoding step with a key-value cache: last hidden states (B, T, H)."""
        out: Tensor = self._body(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return out


def load_backbone(
    source: str | Path, *, device: torch.device, dtype: torch.dtype, top_layers: int, rank: int
) -> Backbone:
    """Load a causal language model from a folder or a Hugging Face id, safetensors only.

    Raises `Unavailable` in one sentence where it cannot be loaded.
    """
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, use_safetensors=True, attn_implementation="sdpa"
        )
    except Exception as error:  # Every loader behind this call raises kinds of its own.
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Unavailable(
            f"The model {source} cannot be loaded ({first}); set `model` to a folder or a Hugging "
            "Face id of a causal language model in safetensors."
        ) from error
    return Backbone(model, tokenizer, device=device, top_layers=top_layers, rank=rank)


def _is_of(adapter: str, parameter: str) -> bool:
    return any(f".{kind}.{adapter}." in parameter for kind in ("lora_A", "lora_B"))


def _of_another_model(file: Path) -> Unavailable:
    return Unavailable(
        f"The checkpoint file {file} was made for another model; set RANKLOOP_MODEL to the one "
        "that it was trained on."
    )
