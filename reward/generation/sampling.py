"""Batched sampling from a policy: left padding, one cache, finished rows leave the batch.

Every row has random numbers of its own, so what is drawn for a prompt depends neither on the batch
that it shares nor on how many processes sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reward.generation.prompt_reading import read_prompts
from reward.language_models.backbone import Backbone
from reward.language_models.frozen_linear import product
from reward.training.out_of_memory import Halving
from reward.training.setting_bounds import at_least, finite, within

GREEDY = 1e-4  #: at this temperature and below, the likeliest token is taken


@dataclass(frozen=True)
class SamplingSettings:
    """Say how completions are drawn."""

    max_new_tokens: int = 64  #: tokens after which an answer is cut
    temperature: float = 1.0  #: divides the logits
    top_p: float = 1.0  #: mass of the nucleus sampled from (Holtzman et al. 2019); 1 is all

    def __post_init__(self) -> None:
        """Raise `BadInput` naming a setting that is out of its bounds."""
        at_least("sampling", self, 1, "max_new_tokens")
        finite("sampling", self, 1e-6, "temperature")
        within("sampling", self, 1e-6, 1, "top_p")


@dataclass(frozen=True)
class Sample:
    """One sampled answer: its ids (with the end token, if it ended) and whether it ended.

    `log_probs` holds log π of each id at the sampling temperature, as the sampler saw it; under a
    nucleus, of the nucleus.
    """

    ids: list[int]
    ended: bool
    log_probs: tuple[float, ...] = ()


@torch.no_grad()
def sample(
    backbone: Backbone,
    adapter: str | None,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    *,
    seed: int,
    batch_size: int,
    rows: Sequence[int] | None = None,
) -> list[Sample]:
    """Draw one completion for each prompt (repeat a prompt to get several).

    Prompts are sorted by length into batches, so little is padded; the result is in the order
    given. `rows` numbers the prompts (default: 0, 1, …): a prompt's draw depends on `seed` and its
    number alone, so a part of a list draws what the whole list would.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]), reverse=True)
    numbers = range(len(prompts)) if rows is None else rows
    points = _points(seed, numbers, settings.max_new_tokens).to(backbone.device)
    found: dict[int, Sample] = {}
    with backbone.merged(adapter):
        halving = Halving(batch_size, "one prompt")
        while len(found) < len(order):
            left = order[len(found) :]

            def drawn(size: int, left: list[int] = left) -> dict[int, Sample]:
                part = left[:size]
                chosen = [prompts[i] for i in part]
                batch = _sample_batch(backbone, adapter, chosen, settings, points[part])
                return dict(zip(part, batch, strict=True))

            found.update(halving.run(drawn))
    return [found[index] for index in range(len(prompts))]


def check_speech(backbone: Backbone, adapter: str | None, prompt: Sequence[int]) -> None:
    """Raise `FloatingPointError` where the role cannot answer, as after updates too large."""
    one_token = SamplingSettings(max_new_tokens=1)
    sample(backbone, adapter, [prompt], one_token, seed=0, batch_size=1)


def _points(seed: int, rows: Sequence[int], count: int) -> Tensor:
    """Return uniform random numbers (len(rows), count), those of a row by its number."""
    drawn = [np.random.default_rng((seed, row)).random(count, dtype=np.float32) for row in rows]
    return torch.from_numpy(np.stack(drawn)) if drawn else torch.empty(0, count)


def _sample_batch(
    backbone: Backbone,
    adapter: str | None,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    points: Tensor,
) -> list[Sample]:
    # A prompt that is answered several times is read once: its cache is copied.
    distinct = sorted(dict.fromkeys(tuple(prompt) for prompt in prompts), key=len, reverse=True)
    read = read_prompts(backbone, adapter, distinct)
    if distinct != [tuple(prompt) for prompt in prompts]:
        rows = [distinct.index(tuple(prompt)) for prompt in prompts]
        read.keep(torch.tensor(rows, device=backbone.device))
    cache, hidden, positions, mask = read.cache, read.hidden, read.positions, read.mask
    weight = backbone.output_weight_of(adapter)
    live = list(range(len(prompts)))
    answers: list[list[int]] = [[] for _ in prompts]
    log_probs: list[list[float]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    for position in range(settings.max_new_tokens):
        logits = product(hidden, weight).float()
        tokens, drawn_log_probs = draw(logits, settings, points[live, position])
        keep = []
        drawn = zip(live, tokens.tolist(), drawn_log_probs.tolist(), strict=True)
        for row, (index, token, log_prob) in enumerate(drawn):
            answers[index].append(token)
            log_probs[index].append(log_prob)
            ended[index] = token in backbone.end_tokens
            if not ended[index]:
                keep.append(row)
        if not keep or position + 1 == settings.max_new_tokens:
            break
        if len(keep) < len(live):
            rows_left = torch.tensor(keep, device=backbone.device)
            cache.batch_select_indices(rows_left)
            tokens, positions, mask = tokens[rows_left], positions[rows_left], mask[rows_left]
            live = [live[row] for row in keep]
        positions = positions + 1
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        hidden = backbone.step(tokens[:, None], mask, positions, cache)[:, -1]
    return [Sample(a, e, tuple(p)) for a, e, p in zip(answers, ended, log_probs, strict=True)]


def draw(logits: Tensor, settings: SamplingSettings, points: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one token id from each row of (B, V) logits, under temperature and nucleus.

    The cumulative distribution is inverted at `points` (B,), uniform in [0, 1); at `GREEDY` the
    likeliest token is taken, the first of equal ones, whatever the points are. Returns the ids
    (B,) and their log-probabilities (B,), under the nucleus where there is one. Raises
    `FloatingPointError` where the logits make no probabilities, as those of weights that have run
    away.
    """
    probabilities = (logits / settings.temperature).softmax(-1)
    if settings.temperature <= GREEDY:
        # Of logits in half precision the two largest are often equal: a draw would choose.
        largest, picked = logits.max(-1, keepdim=True)
        _check_finite(largest)
        return picked[:, 0], probabilities.gather(1, picked)[:, 0].log()
    if settings.top_p < 1.0:
        ordered, indices = probabilities.sort(dim=-1, descending=True)
        outside = ordered.cumsum(-1) - ordered >= settings.top_p
        ordered = ordered.masked_fill(outside, 0.0)
        ordered /= ordered.sum(-1, keepdim=True)
        picked = _invert(ordered, points)
        return indices.gather(1, picked)[:, 0], ordered.gather(1, picked)[:, 0].log()
    picked = _invert(probabilities, points)
    return picked[:, 0], probabilities.gather(1, picked)[:, 0].log()


def _invert(probabilities: Tensor, points: Tensor) -> Tensor:
    # Several times faster on CPU than `multinomial` at the width of a vocabulary. The first entry
    # whose cumulative sum exceeds the point has a probability above 0, as long as rounding does not
    # carry the point to the whole sum.
    cumulative = probabilities.cumsum(-1)
    _check_finite(cumulative[:, -1])
    below = points[:, None].clamp(max=1.0 - 2.0**-20) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, below, right=True)


def _check_finite(values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise FloatingPointError("The policy's probabilities are not finite numbers")
