"""How rankings are laid out, and how many of them go through the model at once."""

from dataclasses import replace

import pytest
import torch

from reward.language_models.backbone import Backbone
from reward.reward_modeling import ranked_examples
from reward.reward_modeling.packing import PackedRanking
from reward.reward_modeling.ranked_examples import (
    CachedExample,
    RankedExample,
    cache_trunks,
    parts_at_once,
    ranked_anew,
)
from reward.reward_modeling.reward_model import RewardModel, head_scores

SHORT = RankedExample([5, 6], [[70, 71], [72]], [1, 2], 1)
LONG = RankedExample([5] * 9, [[70] * 8, [71] * 9, [72] * 7], [1, 2, 2], 2)


def _cached(*tokens: int) -> list[CachedExample]:
    none = torch.empty(0, 2, dtype=torch.long)
    return [CachedExample(None, torch.empty(1, n, 4), none, SHORT) for n in tokens]  # type: ignore[arg-type]


def test_parts_hold_so_many_rankings_and_padded_tokens() -> None:
    examples = _cached(10, 10, 10, 30, 10, 200, 10)
    # The fourth would widen its part to 3 · 30; the sixth is longer than a part may be.
    assert parts_at_once(examples, 3, 70) == [[0, 1, 2], [3, 4], [5], [6]]
    assert parts_at_once(examples[:3], 1, 70) == [[0], [1], [2]]
    assert parts_at_once([], 3, 70) == []


def test_a_long_ranking_is_not_packed_and_scores_the_same(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = RewardModel(backbone, heads=2)
    for weight in [*backbone.parameters("reward"), model.head.weight]:
        weight.data.normal_(std=0.1)
    packed = cache_trunks(backbone, [SHORT, LONG])
    monkeypatch.setattr(ranked_examples, "LONGEST_PACKED", 20)
    mixed = cache_trunks(backbone, [SHORT, LONG])
    kinds = [isinstance(one.sequences, PackedRanking) for one in mixed]
    assert kinds == [True, False]
    for one, other in zip(head_scores(model, mixed), head_scores(model, packed), strict=True):
        torch.testing.assert_close(one, other)


def test_the_same_texts_are_ranked_anew(backbone: Backbone) -> None:
    (first,) = cache_trunks(backbone, [LONG])
    other = replace(LONG, ranks=[2, 1, 3])
    again, fresh = ranked_anew(first, other), cache_trunks(backbone, [other])[0]
    assert torch.equal(again.pairs, fresh.pairs)
    assert again.pairs.tolist() == [[1, 0], [0, 2], [1, 2]]
    assert torch.equal(again.trunk, fresh.trunk)
    assert again.example == other
