"""Batched sampling from a policy: left padding, one cache, finished rows leave the batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from reward.backbone import Backbone


@dataclass(frozen=True)
class SamplingSettings:
    """Say how completions are drawn."""

    max_new_tokens: int = 64  #: tokens after which an answer is cut
    temperature: float = 1.0  #: divides the logits
    top_p: float = 1.0  #: mass of the nucleus sampled from (Holtzman et al. 2019); 1 is all


@dataclass(frozen=True)
class Sample:
    """One sampled answer: its ids (with the end token, if it ended) and whether it ended."""

    ids: list[int]
    ended: bool


@torch.no_grad()
def sample(
    backbone: Backbone,
    adapter: str | None,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    *,
    seed: int,
    batch_size: int,
) -> list[Sample]:
    """Draw one completion for each prompt (repeat a prompt to get several).

    Prompts are sorted by length into batches, so little is padded; the result is in the order
    given and depends on `seed`, the prompts and the batch size only.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]), reverse=True)
    generator = torch.Generator(device=backbone.device).manual_seed(seed)
    found: dict[int, Sample] = {}
    with backbone.merged(adapter):
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = _sample_batch(backbone, [prompts[i] for i in rows], settings, generator)
            found.update(zip(rows, batch, strict=True))
    return [found[index] for index in range(len(prompts))]


def _sample_batch(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    generator: torch.Generator,
) -> list[Sample]:
    # A prompt that is answered several times is read once, and so is what all prompts begin with
    # (the system message): their caches are copied.
    distinct = list(dict.fromkeys(tuple(prompt) for prompt in prompts))
    copies = torch.tensor([distinct.index(tuple(prompt)) for prompt in prompts])
    cache = DynamicCache(config=backbone.model.config)
    shared = _read_prefix(backbone, distinct, cache)
    ids, mask = _pad_left([prompt[shared:] for prompt in distinct], backbone.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0) + shared
    mask = torch.cat([mask.new_ones(len(distinct), shared), mask], dim=1)
    live = list(range(len(prompts)))
    answers: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    for position in range(settings.max_new_tokens):
        hidden = backbone.step(ids, mask, positions, cache)[:, -1]
        if position == 0 and len(distinct) < len(prompts):
            copies = copies.to(backbone.device)
            cache.batch_select_indices(copies)
            hidden, positions, mask = hidden[copies], positions[copies], mask[copies]
        logits = (hidden @ backbone.output_weight.T).float()
        tokens = draw(logits, settings, generator)
        keep = []
        for row, (index, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            answers[index].append(token)
            ended[index] = token in backbone.end_tokens
            if not ended[index]:
                keep.append(row)
        if not keep:
            break
        if len(keep) < len(live):
            rows = torch.tensor(keep, device=backbone.device)
            cache.batch_select_indices(rows)
            tokens, positions, mask = tokens[rows], positions[rows], mask[rows]
            live = [live[row] for row in keep]
        ids = tokens[:, None]
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
    return [Sample(answer, done) for answer, done in zip(answers, ended, strict=True)]


def _read_prefix(backbone: Backbone, prompts: Sequence[Sequence[int]], cache: DynamicCache) -> int:
    """Put what all prompts begin with into the cache, a row for each; return its length."""
    shortest = min(prompts, key=len)
    longest_shared = len(shortest) - 1
    shared = 0
    while shared < longest_shared and len({prompt[shared] for prompt in prompts}) == 1:
        shared += 1
    if shared == 0 or len(prompts) == 1:
        return 0
    ids = torch.tensor([list(shortest[:shared])], device=backbone.device)
    backbone.step(ids, torch.ones_like(ids), torch.arange(shared, device=ids.device)[None], cache)
    cache.batch_repeat_interleave(len(prompts))
    return shared


def draw(logits: Tensor, settings: SamplingSettings, generator: torch.Generator) -> Tensor:
    """Draw one token id from each row of (B, V) logits, under temperature and nucleus: (B,)."""
    probabilities = (logits / settings.temperature).softmax(-1)
    if settings.top_p < 1.0:
        ordered, indices = probabilities.sort(dim=-1, descending=True)
        outside = ordered.cumsum(-1) - ordered >= settings.top_p
        ordered = ordered.masked_fill(outside, 0.0)
        picked = torch.multinomial(ordered, 1, generator=generator)
        return indices.gather(1, picked)[:, 0]
    # Inverting the cumulative sum is several times faster on CPU than `multinomial` at this width.
    cumulative = probabilities.cumsum(-1)
    point = torch.rand(len(logits), 1, device=logits.device, generator=generator)
    return torch.searchsorted(cumulative, point * cumulative[:, -1:])[:, 0].clamp(
        max=logits.shape[-1] - 1
    )


def _pad_left(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
