"""The reward model: its loss, what it learns, and what is written of it."""

import math
import random
from pathlib import Path

import pytest
import torch

from reward.backbone import Backbone
from reward.padding import answered_batch
from reward.reward_model import (
    HEAD_FILE,
    RankedExample,
    RewardModel,
    RewardSettings,
    cache_trunks,
    pair_outcomes,
    ranking_loss,
    train_reward_model,
)
from storage.errors import Unavailable


def _examples(count: int, seed: int, ranks: list[int] | None = None) -> list[RankedExample]:
    """Rank answers by how few of their tokens are 70."""
    rng = random.Random(seed)
    examples = []
    for index in range(count):
        answers = [[rng.choice([70, 71, 72]) for _ in range(6)] for _ in range(4)]
        counts = [answer.count(70) for answer in answers]
        dense = [sorted(set(counts)).index(value) + 1 for value in counts]
        prompt = [rng.randrange(3, 60) for _ in range(5)]
        examples.append(RankedExample(prompt, answers, ranks or dense, index))
    return examples


def _cached(backbone: Backbone, examples: list[RankedExample]):  # type: ignore[no-untyped-def]
    return cache_trunks(backbone, examples, lambda done: None)


def test_the_loss_of_a_ranking_is_the_mean_over_its_pairs() -> None:
    scores = torch.tensor([2.0, 1.0, 0.0])
    pairs = torch.tensor([[0, 1], [0, 2], [2, 1]])
    expected = -sum(math.log(1 / (1 + math.exp(-d))) for d in (1.0, 2.0, -1.0)) / 3
    assert ranking_loss(scores, pairs).item() == pytest.approx(expected, abs=1e-6)


def test_a_ranking_of_k_has_all_its_pairs_and_no_ties(backbone: Backbone) -> None:
    one = _cached(backbone, _examples(1, 0, ranks=[1, 2, 2, 3]))[0]
    assert sorted(map(tuple, one.pairs.tolist())) == [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]


def test_a_packed_ranking_scores_as_its_sequences_do_alone(backbone: Backbone) -> None:
    generator = torch.Generator().manual_seed(3)
    model = RewardModel(backbone)
    for weight in [*backbone.parameters("reward"), model.head.weight]:
        weight.data.normal_(std=0.1, generator=generator)
    example = RankedExample([5, 6, 7], [[70], [71, 72, 73, 2], [74, 75], [70, 71]], [1, 2, 3, 4], 0)
    longer = RankedExample([9] * 9, [[70] * 5, [71] * 7], [1, 2], 1)
    packed, _ = model.ranking_scores(_cached(backbone, [example, longer]))
    batch = answered_batch([example.prompt] * 4, example.answers, torch.device("cpu"))
    torch.testing.assert_close(packed, model.raw_scores(backbone.trunk(batch.ids), batch))
    assert packed.std() > 0.01


def test_an_untrained_model_scores_everything_alike_and_that_counts_as_half(
    backbone: Backbone,
) -> None:
    outcomes = pair_outcomes(RewardModel(backbone), _cached(backbone, _examples(3, 0)))
    assert {value for ranking in outcomes for value in ranking} == {0.5}


def test_it_learns_what_is_preferred(backbone: Backbone) -> None:
    torch.manual_seed(0)
    model = RewardModel(backbone)
    losses: list[float] = []
    train_reward_model(
        model,
        _cached(backbone, _examples(60, 1)),
        RewardSettings(learning_rate=1e-2, epochs=6),
        seed=0,
        on_step=lambda step, steps, loss: losses.append(loss),
    )
    outcomes = pair_outcomes(model, _cached(backbone, _examples(30, 2)))
    right = [value for ranking in outcomes for value in ranking]
    assert sum(right) / len(right) > 0.8
    assert losses[-1] < losses[0]


def test_all_ties_teach_nothing(backbone: Backbone) -> None:
    model = RewardModel(backbone)
    before = [p.clone() for p in backbone.parameters("reward")]
    tied = _cached(backbone, _examples(4, 0, ranks=[1, 1, 1, 1]))
    train_reward_model(model, tied, RewardSettings(), seed=0)
    assert all(map(torch.equal, before, backbone.parameters("reward")))
    assert pair_outcomes(model, tied) == []


def test_normalised_scores_have_mean_zero_and_deviation_one(backbone: Backbone) -> None:
    model = RewardModel(backbone)
    torch.nn.init.normal_(model.head.weight)
    examples = _cached(backbone, _examples(20, 0))
    with torch.no_grad():
        raw = torch.cat(model.ranking_scores(examples))
    model.normalise(raw)
    scores = (raw - model.shift) / model.scale
    assert scores.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert scores.std().item() == pytest.approx(1.0, abs=1e-5)


def test_it_comes_back_from_disk_with_the_same_scores(backbone: Backbone, tmp_path: Path) -> None:
    model = RewardModel(backbone)
    torch.nn.init.normal_(model.head.weight)
    model.shift, model.scale = 0.3, 2.0
    batch = answered_batch([[5, 6], [7, 8]], [[9, 10], [11]], torch.device("cpu"))
    expected = model.score(backbone.trunk(batch.ids), batch)
    model.save(tmp_path)
    again = RewardModel.load(backbone, tmp_path, adapter="again")
    torch.testing.assert_close(again.score(backbone.trunk(batch.ids), batch), expected)


def test_a_broken_head_is_named(backbone: Backbone, tmp_path: Path) -> None:
    RewardModel(backbone).save(tmp_path)
    (tmp_path / HEAD_FILE).write_bytes(b"")
    with pytest.raises(Unavailable, match=HEAD_FILE):
        RewardModel.load(backbone, tmp_path)
