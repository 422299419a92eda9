"""Prompts that are read in groups of like lengths: what is read once, and that nothing changes."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache

from reward.generation import prompt_reading
from reward.generation.prompt_reading import group_sizes, read_prompts
from reward.generation.sampling import SamplingSettings, sample
from reward.language_models.backbone import Backbone

PROMPTS = [[1, *range(20, 20 + length)] for length in (40, 38, 12, 11, 3)]
SPREAD = [[start, *range(20, 20 + length)] for start, length in enumerate((40, 38, 12, 11, 3), 5)]


def _cost(lengths: Sequence[int], sizes: Sequence[int], price: int) -> int:
    ends = list(itertools.accumulate(sizes))
    return sum(size * lengths[end - size] + price for size, end in zip(sizes, ends, strict=True))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.integers(0, 80))
def test_groups_are_the_cheapest_of_all(lengths: list[int], price: int) -> None:
    lengths = sorted(lengths, reverse=True)
    sizes = group_sizes(lengths, price)
    assert sum(sizes) == len(lengths)
    cuts = range(1, len(lengths))
    every = itertools.chain.from_iterable(
        itertools.combinations(cuts, count) for count in range(len(lengths))
    )
    costs = [
        _cost(lengths, [b - a for a, b in itertools.pairwise((0, *cut, len(lengths)))], price)
        for cut in every
    ]
    assert _cost(lengths, sizes, price) == min(costs)


@pytest.mark.parametrize(("prompts", "first_widths"), [(PROMPTS, [38, 36]), (SPREAD, [41, 39])])
def test_groups_leave_what_one_pass_does(
    backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    prompts: list[list[int]],
    first_widths: list[int],
) -> None:
    backbone.use(None)
    with torch.no_grad():
        monkeypatch.setattr(prompt_reading, "PASS_TOKENS", 10_000)
        whole = read_prompts(backbone, None, prompts)
        monkeypatch.setattr(prompt_reading, "PASS_TOKENS", 1)
        widths = _widths(backbone, monkeypatch)
        parts = read_prompts(backbone, None, prompts)
    assert sorted(widths, reverse=True)[:2] == first_widths
    assert torch.equal(parts.positions, whole.positions)
    assert torch.equal(parts.mask.sum(1), whole.mask.sum(1))
    torch.testing.assert_close(parts.hidden, whole.hidden, atol=1e-5, rtol=1e-5)
    for mine, theirs in zip(parts.cache.layers, whole.cache.layers, strict=True):
        for name in ("keys", "values"):
            torch.testing.assert_close(
                _tokens(getattr(mine, name), parts.mask),
                _tokens(getattr(theirs, name), whole.mask),
                atol=1e-5,
                rtol=1e-5,
            )


def _tokens(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return keys or values (B, heads, N, size) of what is no padding: (tokens, heads, size)."""
    return values.transpose(1, 2)[mask.bool()]


def _widths(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which every pass adds how many positions of a row it reads."""
    widths: list[int] = []
    step = backbone.step

    def noted(ids: torch.Tensor, *rest: object) -> torch.Tensor:
        widths.append(ids.shape[1])
        return step(ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(backbone, "step", noted)
    return widths


@pytest.mark.parametrize("price", [1, 10_000])
def test_the_same_is_drawn_in_groups_and_in_one(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch, price: int
) -> None:
    settings = SamplingSettings(max_new_tokens=6)
    prompts = [SPREAD[i] for i in (3, 0, 4, 4, 1, 2, 3)]
    alone = [
        sample(backbone, None, [prompt], settings, seed=0, batch_size=1, rows=[row])[0]
        for row, prompt in enumerate(prompts)
    ]
    monkeypatch.setattr(prompt_reading, "PASS_TOKENS", price)
    together = sample(backbone, None, prompts, settings, seed=0, batch_size=7)
    assert [one.ids for one in together] == [one.ids for one in alone]


def test_a_cache_that_cannot_be_padded_is_read_in_one_pass(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_reading, "PASS_TOKENS", 1)
    config = backbone.model.config
    monkeypatch.setattr(config, "sliding_window", 64, raising=False)
    monkeypatch.setattr(config, "layer_types", ["sliding_attention"] * 4, raising=False)
    assert DynamicCache(config=config).layers[0].is_sliding
    widths = _widths(backbone, monkeypatch)
    backbone.use(None)
    with torch.no_grad():
        read_prompts(backbone, None, SPREAD)
    assert widths == [41]
