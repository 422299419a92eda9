"""Methods that put learned virtual tokens before the text: soft prompts and key-value prefixes.

Soft prompts: Lester et al. 2021, §2; prefixes: Li and Liang 2021, §4. The weights and their layout
on disk are peft's. Both start as the reading of real words (Lester et al. §3.2; Li and Liang §7.4),
not as the identity: there is none, since whatever stands before a text is attended to.
"""

import copy
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from peft import (
    PrefixEncoder,
    PrefixTuningConfig,
    PromptEmbedding,
    PromptTuningConfig,
    prompt_embeddings_from_past_key_values,
)
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedTokenizerBase

from reward.language_models.model_shape import decoder_of, run_layers
from reward.reward_modeling.packing import Layout
from reward.tuning.checkpoint import Checkpoint, write_peft
from reward.tuning.method import TuningMethod

# What virtual tokens start as, said by the system. On SmolLM2-135M the model behind 16 of them is
# 0.035 nats a token away from the bare one; without the chat format it is 0.058.
START_TEXT = "You are a helpful assistant."
KEY = "prompt_embeddings"  # what peft calls the weights on disk


def start_ids(tokenizer: PreTrainedTokenizerBase, count: int) -> list[int]:
    """Return the ids of a short system message, cut or repeated to `count`."""
    message = [{"role": "system", "content": START_TEXT}]
    text = START_TEXT
    if tokenizer.chat_template:
        # A template may take no system message, or none alone.
        with suppress(TemplateError):
            text = str(tokenizer.apply_chat_template(message, tokenize=False)) or START_TEXT
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return (ids * count)[:count]


class VirtualTokens(TuningMethod):
    """Roles that are learned virtual tokens; the model's own weights serve all of them."""

    def __init__(self, model: Any, start_ids: Sequence[int], *, by_layer: bool) -> None:
        """Remember the words that every role starts from, one id a virtual token."""
        self.model = model
        self.count = len(start_ids)  #: virtual tokens of a role that is not loaded
        self.start_ids = torch.tensor([list(start_ids)], device=model.device)
        self.by_layer = by_layer
        self.body = decoder_of(model)
        self.embed = model.get_input_embeddings()
        self.depth = int(model.config.get_text_config().num_hidden_layers)
        self._configs: dict[str, Any] = {}
        self._weights: dict[str, nn.Parameter] = {}

    @abstractmethod
    def _start(self) -> tuple[Any, Tensor]:
        """Return peft's configuration and the weights (V, …) of a role at its start."""

    @abstractmethod
    def _encoder(self, config: Any) -> Any:
        """Return peft's module for a configuration: its weight has the shape that a role needs."""

    @abstractmethod
    def states(self, ids: Tensor, name: str, layout: Layout | None) -> Tensor:
        """Run the whole model on (B, T) ids behind a role's virtual tokens: (B, T, H)."""

    @abstractmethod
    def start_cache(self, name: str, batch: int) -> Any:
        """Return a key-value cache of `batch` rows that has read a role's virtual tokens."""

    def length(self, name: str) -> int:
        """Return how many virtual tokens a role has."""
        return len(self._weights[name])

    def roles(self) -> set[str]:
        """Return the names of the roles there are."""
        return set(self._weights)

    @torch.no_grad()
    def add(self, name: str, *, scalar: bool) -> None:
        """Add a role that starts as the same words for every role, or reset it."""
        del scalar
        config, weights = self._start()
        self._put(name, config, weights)

    def _put(self, name: str, config: Any, weights: Tensor) -> None:
        self._configs[name] = config
        self._weights[name] = nn.Parameter(weights.float().clone(), requires_grad=False)

    def remove(self, name: str) -> None:
        """Forget a role."""
        self._configs.pop(name, None)
        self._weights.pop(name, None)

    def activate(self, name: str | None) -> None:
        """Do nothing but check the name: what runs is told its role, and no weight changes."""
        if name is not None:
            self._weights[name]

    def parameters(self, name: str) -> list[nn.Parameter]:
        """Return a role's virtual tokens, one tensor (V, …)."""
        return [self._weights[name]]

    def copy(self, source: str, target: str) -> None:
        """Make a role with another one's virtual tokens."""
        self._put(target, copy.deepcopy(self._configs[source]), self._weights[source].detach())

    def save(self, name: str, folder: Path) -> None:
        """Write virtual tokens in peft's own layout."""
        write_peft(folder, self._configs[name], {KEY: self._weights[name]})

    def load(self, name: str, checkpoint: Checkpoint) -> None:
        """Make a role of a checkpoint, of however many virtual tokens."""
        weights = checkpoint.state.get(KEY)
        try:
            wanted = self._encoder(checkpoint.peft).embedding.weight.shape
        except (RuntimeError, TypeError, ValueError) as error:
            raise checkpoint.of_another_model() from error
        if weights is None or weights.shape != wanted or not self._fits(checkpoint.peft):
            raise checkpoint.of_another_model()
        self._put(name, checkpoint.peft, weights.to(self.model.device))

    def _fits(self, config: Any) -> bool:
        mine, _ = self._start()
        sizes = ("token_dim", "num_layers", "num_attention_heads")
        return all(getattr(config, size) == getattr(mine, size) for size in sizes)


class SoftPrompt(VirtualTokens):
    """Roles that are embeddings (V, H) in front of the text's own."""

    tuning = "prompt"

    def _start(self) -> tuple[Any, Tensor]:
        sizes = self.model.config.get_text_config()
        config = PromptTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=self.count,
            token_dim=int(sizes.hidden_size),
            num_layers=self.depth,
            num_attention_heads=int(sizes.num_attention_heads),
            num_transformer_submodules=1,
        )
        return config, self.embed(self.start_ids)[0]

    def _encoder(self, config: Any) -> Any:
        return PromptEmbedding(config, self.embed)

    def _tokens(self, name: str, batch: int) -> Tensor:
        weights = self._weights[name].to(self.embed.weight.dtype)
        return weights[None].expand(batch, -1, -1)

    def states(self, ids: Tensor, name: str, layout: Layout | None) -> Tensor:
        """Run the whole model on the virtual tokens and the text; return the text's states."""
        count = self.length(name)
        hidden = torch.cat([self._tokens(name, len(ids)), self.embed(ids)], dim=1)
        if self.by_layer:
            behind = None if layout is None else _behind(layout, count, seen=True)
            hidden = self.body.norm(run_layers(self.body, hidden, 0, self.depth, behind))
        else:
            hidden = self.body(inputs_embeds=hidden, use_cache=False).last_hidden_state
        return hidden[:, count:]

    @torch.no_grad()
    def start_cache(self, name: str, batch: int) -> Any:
        """Read the virtual tokens once and copy what was read to every row."""
        cache = DynamicCache(config=self.model.config)
        self.body(inputs_embeds=self._tokens(name, 1), past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(batch)
        return cache


class KeyValuePrefix(VirtualTokens):
    """Roles that are keys and values of V positions in every layer."""

    tuning = "prefix"

    def _start(self) -> tuple[Any, Tensor]:
        cache: Any = DynamicCache(config=self.model.config)
        self.body(input_ids=self.start_ids, past_key_values=cache, use_cache=True)
        _, heads, _, width = cache.layers[0].keys.shape
        config = PrefixTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=self.count,
            token_dim=heads * width,
            num_layers=self.depth,
            num_attention_heads=heads,
            num_transformer_submodules=1,
        )
        return config, prompt_embeddings_from_past_key_values(cache, num_virtual_tokens=self.count)

    def _encoder(self, config: Any) -> Any:
        return PrefixEncoder(config)

    def _cache(self, name: str, batch: int) -> Any:
        config, weights = self._configs[name], self._weights[name].to(self.embed.weight.dtype)
        heads = config.num_attention_heads
        # (V, layers · 2 · heads · width) → (layers, 2, heads, V, width), as peft's `get_prompt`.
        split = weights.view(len(weights), self.depth, 2, heads, -1).permute(1, 2, 3, 0, 4)
        cache = DynamicCache(config=self.model.config)
        for layer, (keys, values) in enumerate(split):
            rows = (batch, -1, -1, -1)
            cache.update(keys[None].expand(rows), values[None].expand(rows), layer)
        return cache

    def states(self, ids: Tensor, name: str, layout: Layout | None) -> Tensor:
        """Run the whole model on the text, which sees the prefix in every layer."""
        count, cache = self.length(name), self._cache(name, len(ids))
        if not self.by_layer:
            out: Tensor = self.body(
                input_ids=ids, past_key_values=cache, use_cache=True
            ).last_hidden_state
            return out
        behind = _behind(layout or _causal(ids), count, seen=False)
        hidden = run_layers(self.body, self.embed(ids), 0, self.depth, behind, cache)
        out = self.body.norm(hidden)
        return out

    @torch.no_grad()
    def start_cache(self, name: str, batch: int) -> Any:
        """Put the prefix into an empty cache."""
        return self._cache(name, batch)


def _causal(ids: Tensor) -> Layout:
    length = ids.shape[1]
    mask = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    return Layout(torch.arange(length, device=ids.device)[None], mask[None, None])


def _behind(layout: Layout, count: int, *, seen: bool) -> Layout:
    """Move a layout behind `count` virtual tokens, which every token sees.

    Args:
        layout: positions (B, N) and mask (B, 1, N, N) of the text alone.
        count: virtual tokens; they take the first positions.
        seen: whether they are queries too (a soft prompt), or keys only (a prefix).
    """
    rows, _, length, _ = layout.mask.shape
    positions = layout.positions + count
    mask = torch.cat([layout.mask.new_ones(rows, 1, length, count), layout.mask], dim=3)
    if seen:
        ahead = torch.arange(count, device=positions.device)[None].expand(rows, -1)
        positions = torch.cat([ahead, positions], dim=1)
        top = mask.new_zeros(rows, 1, count, count + length)
        top[..., :count] = mask.new_ones(count, count).tril()
        mask = torch.cat([top, mask], dim=2)
    return Layout(positions, mask)
