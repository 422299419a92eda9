"""One language model that serves every role: policy, reference, live policy and reward.

Each role is the bare model but for weights of its own, of the kind that a tuning method trains
(`reward/tuning/`); the reference is no role at all. Where a method leaves the lowest layers alone
they, the trunk, are the same function for every role and epoch, so their activations are computed
once for a batch and reused. Leaves out: roles of different methods on one backbone.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from reward.language_models.frozen_linear import multiply_by_onednn
from reward.language_models.model_shape import (
    checked_output_weight,
    decoder_of,
    end_tokens_of,
    run_layers,
    runs_by_layer,
    store_columns_first,
)
from reward.language_models.remote_code import code_brought, code_is_allowed, not_allowed
from reward.reward_modeling.packing import Layout
from reward.training.freed_memory import return_freed_memory
from reward.tuning.checkpoint import read_checkpoint
from reward.tuning.choice import tuning_method
from reward.tuning.method import TuningMethod, shared_layers
from reward.tuning.virtual_tokens import VirtualTokens, start_ids
from storage.errors import BadInput, Unavailable


class Backbone:
    """A frozen causal language model, its tokenizer, and named roles that differ in its top."""

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        device: torch.device,
        top_layers: int,
        rank: int,
        tuning: str = "lora",
        virtual_tokens: int = 16,
        recomputed_layers: int = 0,
    ) -> None:
        """Freeze `model`, and find out whether its layers can be run one by one.

        Raises `Unavailable` where its logits are not its last states times the output embedding,
        or where it has nothing that the tuning method trains; `BadInput` for an unknown method, and
        where layers are to be recomputed that cannot be run one by one.
        """
        self.tokenizer = tokenizer
        self.device = device
        self.tuning = tuning
        self.seed = 0  #: what new roles are drawn from
        model.to(device)
        model.requires_grad_(False)
        model.eval()
        if device.type == "cpu":
            store_columns_first(model)
            multiply_by_onednn(model)
        sizes = model.config.get_text_config()
        self.depth = int(sizes.num_hidden_layers)
        self.split = shared_layers(tuning, depth=self.depth, top_layers=top_layers)
        self.runs_by_layer = runs_by_layer(model, self.split)
        if not self.runs_by_layer:
            self.split = 0
        self.top_layers = self.depth - self.split
        self.hidden_size = int(sizes.hidden_size)
        self.context_length = int(getattr(sizes, "max_position_embeddings", 2048))
        self.output_weight: Tensor = checked_output_weight(model)
        self.end_tokens = end_tokens_of(model, tokenizer)
        self._body: Any = decoder_of(model)
        self._embed: Any = model.get_input_embeddings()
        with self._drawn_from("policy"):
            self._method: TuningMethod = tuning_method(
                tuning,
                model,
                first_layer=self.split,
                depth=self.depth,
                rank=rank,
                start_ids=start_ids(tokenizer, virtual_tokens),
                by_layer=self.runs_by_layer,
            )
            if "policy" not in self._method.roles():
                self._method.add("policy", scalar=False)
        self.model: Any = self._method.model
        self._virtual = self._method if isinstance(self._method, VirtualTokens) else None
        if self._virtual is not None:
            if virtual_tokens >= self.context_length:
                raise BadInput(
                    f"Setting training.backbone.virtual_tokens is {virtual_tokens}, and the "
                    f"model's context has {self.context_length} tokens; lower it."
                )
            self.context_length -= virtual_tokens
        if recomputed_layers and (self._virtual is not None or not self.runs_by_layer):
            raise BadInput(
                f"Setting training.backbone.recomputed_layers is {recomputed_layers}, and the "
                f"layers of this model under {tuning} do not run one by one; set it to 0."
            )
        self._kept_from = min(self.split + recomputed_layers, self.depth)

    @property
    def caches_trunk(self) -> bool:
        """Say whether some layers are alike for every role, so that `trunk` computes something."""
        return self.split > 0

    @property
    def packs(self) -> bool:
        """Say whether `trunk` and `top` take the layout of a packed ranking."""
        return self.runs_by_layer

    @contextmanager
    def _drawn_from(self, name: str) -> Iterator[None]:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed ^ zlib.crc32(name.encode()))
            yield

    # -- roles ---------------------------------------------------------------------------------

    def add_adapter(self, name: str, *, scalar: bool = False) -> None:
        """Add a role at its starting point, or reset it.

        It starts as the bare model; virtual tokens (prompt, prefix) start as words before the text.
        What is drawn at random is drawn from `seed` and the name alone. Which other roles are in
        training does not change.

        Args:
            name: what the role is called from now on.
            scalar: its states are read by a head of its own (a reward model) and its logits never,
                so that it needs no output embedding.
        """
        with self._drawn_from(name):
            self._method.add(name, scalar=scalar)

    def remove_adapter(self, name: str) -> None:
        """Forget a role and free its weights."""
        self._method.remove(name)

    def copy_adapter(self, source: str, target: str) -> None:
        """Make `target` a role of its own with the weights that `source` has now."""
        if source != target:
            self._method.copy(source, target)

    def parameters(self, name: str | None) -> list[nn.Parameter]:
        """Return a role's own weights; empty for the bare model (None) and where there are none."""
        return [] if name is None else self._method.parameters(name)

    @contextmanager
    def training(self, name: str | None) -> Iterator[list[nn.Parameter]]:
        """Let gradients reach one role inside the block; the bare model (None) has no weights."""
        parameters = self.parameters(name)
        for parameter in parameters:
            parameter.requires_grad_(True)
        try:
            yield parameters
        finally:
            for parameter in parameters:
                parameter.requires_grad_(False)

    def use(self, name: str | None) -> None:
        """Switch to a role, or to none for the bare model; raise `KeyError` if there is none."""
        if name is not None and name not in self._method.roles():
            raise KeyError(name)
        self._method.activate(name)

    def output_weight_of(self, name: str | None) -> Tensor:
        """Return the output embedding (V, H) that a role's logits are made with.

        It is a parameter of the role's where its method trains it, else `output_weight`.
        """
        own = None if name is None else self._method.output_weight(name)
        return self.output_weight if own is None else own

    def save_adapter(self, name: str, folder: Path) -> None:
        """Write a role's weights; in peft's own layout where peft has the method."""
        self._method.save(name, folder)

    def load_adapter(self, name: str, folder: Path) -> None:
        """Read a role, of whatever size.

        Raises `BadInput` where a sound checkpoint wants other settings, `Unavailable` naming what
        cannot be used.
        """
        checkpoint = read_checkpoint(folder)
        if checkpoint.tuning != self.tuning:
            raise BadInput(
                f"The checkpoint {folder} was tuned by {checkpoint.tuning}, and {self.tuning} is "
                f"set here; set training.backbone.tuning to {checkpoint.tuning}."
            )
        if checkpoint.lowest_layer < self.split:
            raise BadInput(
                f"The checkpoint {folder} has weights from layer {checkpoint.lowest_layer} on, "
                f"below the {self.top_layers} that are trained here; set "
                f"training.backbone.top_layers to {self.depth - checkpoint.lowest_layer}."
            )
        with self._drawn_from(name):
            self._method.load(name, checkpoint)

    @contextmanager
    def merged(self, name: str | None) -> Iterator[None]:
        """Fold a role into the weights inside the block: decoding is then as fast as without.

        Afterwards the weights are the originals, bit for bit.
        """
        self.use(name)
        try:
            with self._method.merged(name):
                yield
        finally:
            return_freed_memory()

    # -- forward -------------------------------------------------------------------------------

    def trunk(self, ids: Tensor, layout: Layout | None = None) -> Tensor:
        """Run the layers that are frozen in every role.

        Args:
            ids: (B, T) token ids, padded on the right. Causal attention never looks right, so
                padding needs no mask and its outputs are never read.
            layout: positions and mask of a packed ranking (only where `packs`).

        Returns:
            (B, T, H) activations, the same for every role; the ids themselves where the model
            cannot be split.
        """
        if self.split == 0:
            return ids
        with torch.no_grad():
            return run_layers(self._body, self._embed(ids), 0, self.split, layout)

    def top(self, trunk: Tensor, name: str | None, layout: Layout | None = None) -> Tensor:
        """Run the layers in which roles differ, as one role: (B, T, H) after the final norm."""
        self.use(name)
        if self._virtual is not None and name is not None:
            return self._virtual.states(trunk, name, layout)
        if not self.runs_by_layer:
            out: Tensor = self._body(input_ids=trunk, use_cache=False).last_hidden_state
            return out
        hidden = self._embed(trunk) if self.split == 0 else trunk
        first = self.split
        if torch.is_grad_enabled():
            first = self._kept_from
            for at in range(self.split, first):
                hidden = self._recomputed(hidden, at, name, layout)
        return self._body.norm(run_layers(self._body, hidden, first, self.depth, layout))

    def _recomputed(
        self, hidden: Tensor, at: int, name: str | None, layout: Layout | None
    ) -> Tensor:
        """Run a layer that keeps its input alone and is run again for the gradient.

        Gradient checkpointing: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost",
        §4. The lowest layers are the ones: when their turn comes backwards, what those above them
        kept is free again.
        """

        def as_role(states: Tensor) -> Tensor:
            # By the second time another role may have become the active one.
            self.use(name)
            return run_layers(self._body, states, at, at + 1, layout)

        found: Tensor = checkpoint(as_role, hidden, use_reentrant=False)
        return found

    def start_cache(self, name: str | None, batch: int) -> tuple[Any, int]:
        """Return a key-value cache of `batch` rows for `step`, and how many tokens it has read.

        Those are a role's virtual tokens: positions of the text begin after them, and its mask has
        ones for them on the left.
        """
        if self._virtual is not None and name is not None:
            return self._virtual.start_cache(name, batch), self._virtual.length(name)
        return DynamicCache(config=self.model.config), 0

    def step(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        """Run a decoding step with a cache of `start_cache`: last hidden states (B, T, H).

        It computes as the role that `use` or `merged` made the active one.
        """
        out: Tensor = self._body(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return out


def load_backbone(
    source: str | Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    top_layers: int,
    rank: int,
    tuning: str = "lora",
    virtual_tokens: int = 16,
    recomputed_layers: int = 0,
) -> Backbone:
    """Load a causal language model from a folder or a Hugging Face id, safetensors only.

    Args:
        source: folder or id.
        device: where it computes.
        dtype: of its frozen weights.
        top_layers: how many of the top layers are trained (0 for all); `head`, `prompt` and
            `prefix` have their own rule (`reward.tuning.method.shared_layers`).
        rank: LoRA's r.
        tuning: the method of every role, one of `reward.tuning.method.TUNINGS`.
        virtual_tokens: how many `prompt` and `prefix` put before the text.
        recomputed_layers: how many of the trained layers, from the lowest, keep no activations for
            the gradient but compute them again (gradient checkpointing).

    Raises `Unavailable` in one sentence where it cannot be loaded, `BadInput` for a setting that it
    cannot be trained with.
    """
    transformers_logging.disable_progress_bar()
    folder = Path(source)
    # Said outright: left unsaid, transformers asks whoever sits at the terminal.
    code = {"trust_remote_code": code_is_allowed(folder)}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **code)
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, use_safetensors=True, attn_implementation="sdpa", **code
        )
    except Exception as error:  # Every loader behind this call raises kinds of its own.
        if "trust_remote_code" in str(error) and code_brought(folder):
            raise not_allowed(folder) from error
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Unavailable(
            f"The model {source} cannot be loaded ({first}); set `model` to a folder or a Hugging "
            "Face id of a causal language model in safetensors."
        ) from error
    return Backbone(
        model,
        tokenizer,
        device=device,
        top_layers=top_layers,
        rank=rank,
        tuning=tuning,
        virtual_tokens=virtual_tokens,
        recomputed_layers=recomputed_layers,
    )
