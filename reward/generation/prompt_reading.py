"""Prompts read into one cache of keys and values, from which their answers are then drawn.

What all of them begin with is read once. On a processor the rest is read in groups of like lengths,
so that little of it is padding; the groups' caches are put together, padded on the left.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer

from reward.language_models.backbone import Backbone

PASS_TOKENS = 64  #: tokens of padding that cost on a processor about what one more pass does


@dataclass
class ReadPrompts:
    """What reading a batch of prompts left, a row for each.

    `hidden` (B, H) are their last states, `positions` (B, 1) where these stand, and `mask` (B, N)
    has ones where `cache` holds a token of the row.
    """

    cache: Any
    hidden: Tensor
    positions: Tensor
    mask: Tensor

    def keep(self, rows: Tensor) -> None:
        """Keep the rows of these numbers, each as often as it is named."""
        self.cache.batch_select_indices(rows)
        self.hidden, self.positions = self.hidden[rows], self.positions[rows]
        self.mask = self.mask[rows]


def read_prompts(
    backbone: Backbone, adapter: str | None, prompts: Sequence[Sequence[int]]
) -> ReadPrompts:
    """Read prompts, the longest first, as the role that is the active one.

    `adapter` is that role: its virtual tokens stand before every prompt.
    """
    start, before, shared = _read_start(backbone, adapter, prompts)
    own = [prompt[shared:] for prompt in prompts]
    # Sliding windows and states of other kinds cannot be padded.
    joins = all(type(layer) is DynamicLayer for layer in start.layers)
    splits = joins and backbone.device.type == "cpu"
    sizes = group_sizes([len(one) for one in own], PASS_TOKENS) if splits else [len(own)]
    found, at = [], 0
    for size in sizes:
        cache = copy.deepcopy(start) if len(sizes) > 1 else start
        cache.batch_repeat_interleave(size)
        found.append(_read(backbone, own[at : at + size], cache, before))
        at += size
    return found[0] if len(found) == 1 else _joined(found)


def group_sizes(lengths: Sequence[int], price: int) -> list[int]:
    """Return how many of `lengths`, the longest first, to pad together and read at once.

    The groups' padded sizes and `price` tokens for each group come to the least that there is.
    """
    cheapest: list[tuple[int, int]] = [(0, 0)]  # cost of the first n, and where their last begins
    for end in range(1, len(lengths) + 1):
        costs = [
            (cheapest[start][0] + (end - start) * lengths[start] + price, start)
            for start in range(end)
        ]
        cheapest.append(min(costs))
    sizes: list[int] = []
    end = len(lengths)
    while end > 0:
        start = cheapest[end][1]
        sizes.append(end - start)
        end = start
    return sizes[::-1]


def _read_start(
    backbone: Backbone, adapter: str | None, prompts: Sequence[Sequence[int]]
) -> tuple[Any, int, int]:
    """Read the role's virtual tokens and what all prompts begin with, once.

    Returns a cache of one row, how many tokens it holds, and how many of these are the prompts'.
    """
    cache, virtual = backbone.start_cache(adapter, 1)
    shortest = min(prompts, key=len)
    longest_shared = len(shortest) - 1 if len(prompts) > 1 else 0
    shared = 0
    while shared < longest_shared and len({prompt[shared] for prompt in prompts}) == 1:
        shared += 1
    if shared:
        ids = torch.tensor([list(shortest[:shared])], device=backbone.device)
        positions = torch.arange(virtual, virtual + shared, device=ids.device)[None]
        backbone.step(ids, ids.new_ones(1, virtual + shared), positions, cache)
    return cache, virtual + shared, shared


def _read(
    backbone: Backbone, prompts: Sequence[Sequence[int]], cache: Any, before: int
) -> ReadPrompts:
    """Read prompts behind the `before` tokens that each row of the cache holds."""
    ids, mask = _pad_left(prompts, backbone.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0) + before
    mask = torch.cat([mask.new_ones(len(prompts), before), mask], dim=1)
    hidden = backbone.step(ids, mask, positions, cache)[:, -1]
    return ReadPrompts(cache, hidden, positions[:, -1:], mask)


def _joined(parts: Sequence[ReadPrompts]) -> ReadPrompts:
    width = max(part.mask.shape[1] for part in parts)
    cache = parts[0].cache
    for at, joined in enumerate(cache.layers):
        layers = [part.cache.layers[at] for part in parts]
        joined.keys = _stacked([layer.keys for layer in layers], width)
        joined.values = _stacked([layer.values for layer in layers], width)
        for layer in layers[1:]:
            layer.reset()
    return ReadPrompts(
        cache,
        torch.cat([part.hidden for part in parts]),
        torch.cat([part.positions for part in parts]),
        torch.cat([pad(part.mask, (width - part.mask.shape[1], 0)) for part in parts]),
    )


def _stacked(parts: Sequence[Tensor], width: int) -> Tensor:
    """Return keys or values (b, heads, n, size) as one tensor of all rows, padded on the left."""
    return torch.cat([pad(part, (0, 0, width - part.shape[-2], 0)) for part in parts])


def _pad_left(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
