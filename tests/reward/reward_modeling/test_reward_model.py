"""The reward model: its scores, its heads, and what is written of it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reward.language_models.backbone import Backbone
from reward.language_models.padding import answered_batch
from reward.reward_modeling.reward_model import (
    HEAD_FILE,
    RankedExample,
    RewardModel,
    RewardSettings,
    cache_trunks,
    head_scores,
    pair_margins,
    pair_outcomes,
    score_rankings,
)
from storage.errors import BadInput, Unavailable
from tests.reward.ranked_tokens import ranked_tokens

CPU = torch.device("cpu")
EXAMPLE = RankedExample([5, 6, 7], [[70], [71, 72, 73, 2], [74, 75], [70, 71]], [1, 2, 3, 4], 0)


def _random_model(backbone: Backbone, **shape: object) -> RewardModel:
    generator = torch.Generator().manual_seed(3)
    model = RewardModel(backbone, **shape)  # type: ignore[arg-type]
    for weight in [*backbone.parameters("reward"), model.head.weight, model.head.bias]:
        weight.data.normal_(std=0.1, generator=generator)
    return model


def test_a_ranking_of_k_has_all_its_pairs_and_no_ties(backbone: Backbone) -> None:
    one = cache_trunks(backbone, ranked_tokens(1, 0, ranks=[1, 2, 2, 3]))[0]
    assert sorted(map(tuple, one.pairs.tolist())) == [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_packed_ranking_scores_as_its_sequences_do_alone(
    backbone: Backbone, pooling: str
) -> None:
    model = _random_model(backbone, heads=3, pooling=pooling)
    longer = RankedExample([9] * 9, [[70] * 5, [71] * 7], [1, 2], 1)
    packed, _ = model.ranking_scores(cache_trunks(backbone, [EXAMPLE, longer]))
    for index, answer in enumerate(EXAMPLE.answers):
        alone = answered_batch([EXAMPLE.prompt], [answer], CPU)
        torch.testing.assert_close(
            packed[:, index], model.raw_scores(backbone.trunk(alone.ids), alone)[:, 0]
        )
    batch = answered_batch([EXAMPLE.prompt] * 4, EXAMPLE.answers, CPU)
    torch.testing.assert_close(packed, model.raw_scores(backbone.trunk(batch.ids), batch))
    assert packed.std() > 0.01


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_backbone_that_cannot_pack_scores_the_same(
    backbone: Backbone, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _random_model(backbone, heads=2, pooling=pooling)
    packed = head_scores(model, cache_trunks(backbone, [EXAMPLE]))[0]
    monkeypatch.setattr(Backbone, "packs", False)
    unpacked = cache_trunks(backbone, [EXAMPLE])
    assert unpacked[0].batch.ids.shape == (4, 7)
    torch.testing.assert_close(head_scores(model, unpacked)[0], packed)


def test_pooling_reads_the_mean_or_the_last_state(backbone: Backbone) -> None:
    batch = answered_batch([[5, 6], [7]], [[8, 9, 10], [11]], CPU)
    trunk = backbone.trunk(batch.ids)
    hidden = backbone.top(trunk, "reward" if "reward" in backbone.model.peft_config else None)
    wanted = {"mean": hidden[0, 2:5].mean(0), "last": hidden[0, 4]}
    for pooling, state in wanted.items():
        model = RewardModel(backbone, pooling=pooling)
        torch.nn.init.normal_(model.head.weight)
        scores = model.raw_scores(trunk, batch)
        torch.testing.assert_close(scores[:, 0], model.head(state))
        torch.testing.assert_close(scores[:, 1], model.head(hidden[1, 1]))


def test_an_untrained_model_scores_everything_alike_and_that_counts_as_half(
    backbone: Backbone,
) -> None:
    outcomes = pair_outcomes(
        RewardModel(backbone, heads=4), cache_trunks(backbone, ranked_tokens(3, 0))
    )
    assert {value for ranking in outcomes for value in ranking} == {0.5}


def test_margins_are_the_better_ones_score_less_the_worse_ones(backbone: Backbone) -> None:
    model = _random_model(backbone, heads=2)
    cached = cache_trunks(backbone, [EXAMPLE, RankedExample([5], [[8], [9]], [1, 1], 1)])
    scores = score_rankings(model, cached)[0].tolist()
    (margins,) = pair_margins(model, cached)
    assert margins[0] == pytest.approx(scores[0] - scores[1], abs=1e-6)
    assert len(margins) == 6, "the ranking of ties has no pair"
    assert pair_outcomes(model, cached) == [[float(margin > 0) for margin in margins]]


def test_normalised_scores_have_mean_zero_and_deviation_one(backbone: Backbone) -> None:
    model = _random_model(backbone, heads=4, conservatism=0.5)
    examples = ranked_tokens(20, 0)
    model.normalise(torch.cat(head_scores(model, cache_trunks(backbone, examples)), dim=1))
    batch = answered_batch(
        [one.prompt for one in examples for _ in one.answers],
        [answer for one in examples for answer in one.answers],
        CPU,
    )
    scores = model.score(backbone.trunk(batch.ids), batch)
    assert scores.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert scores.std().item() == pytest.approx(1.0, abs=1e-5)


def test_a_score_is_the_mean_less_the_heads_disagreement(backbone: Backbone) -> None:
    model = _random_model(backbone, heads=2, conservatism=0.5)
    batch = answered_batch([[5, 6], [7, 8]], [[9, 10], [11]], CPU)
    trunk = backbone.trunk(batch.ids)
    first, second = model.raw_scores(trunk, batch)
    mean, deviation = model.score_with_uncertainty(trunk, batch)
    torch.testing.assert_close(mean, (first + second) / 2)
    torch.testing.assert_close(deviation, (first - second).abs() / 2)
    torch.testing.assert_close(model.score(trunk, batch), mean - 0.5 * deviation)


def test_what_a_head_adds_to_every_completion_is_no_disagreement(backbone: Backbone) -> None:
    model = RewardModel(backbone, heads=2)
    raw = torch.tensor([[1.0, 2.0, 3.0], [11.0, 12.0, 13.0]])
    model.normalise(raw)
    mean, deviation = model._ensemble(raw)
    assert mean.tolist() == pytest.approx([-1.0, 0.0, 1.0])
    assert deviation.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_a_model_that_scores_everything_alike_is_not_blown_up(backbone: Backbone) -> None:
    model = RewardModel(backbone, heads=2)
    model.normalise(torch.full((2, 5), 3.0))
    assert (model.shift.tolist(), model.scale.tolist()) == ([3.0, 3.0], [1.0, 1.0])


def test_the_mean_head_gives_the_mean_normalised_score(backbone: Backbone) -> None:
    model = _random_model(backbone, heads=3)
    model.shift, model.scale = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 2.0, 0.5])
    batch = answered_batch([[5, 6]], [[9]], CPU)
    trunk = backbone.trunk(batch.ids)
    weight, bias = model.mean_head()
    state = backbone.top(trunk, "reward")[0, 2]
    mean, _ = model.score_with_uncertainty(trunk, batch)
    assert float(state @ weight) + bias == pytest.approx(mean.item(), abs=1e-5)


def test_it_comes_back_from_disk_with_the_same_scores(backbone: Backbone, tmp_path: Path) -> None:
    model = _random_model(backbone, heads=3, pooling="last", conservatism=0.7)
    model.normalise(torch.randn(3, 9, generator=torch.Generator().manual_seed(0)))
    batch = answered_batch([[5, 6], [7, 8]], [[9, 10], [11]], CPU)
    expected = model.score(backbone.trunk(batch.ids), batch)
    model.save(tmp_path)
    again = RewardModel.load(backbone, tmp_path, adapter="again")
    assert (again.heads, again.pooling, again.conservatism) == (3, "last", 0.7)
    assert torch.equal(again.score(backbone.trunk(batch.ids), batch), expected)


def test_a_checkpoint_of_one_head_from_before_there_were_more_still_loads(
    backbone: Backbone, tmp_path: Path
) -> None:
    model = _random_model(backbone)
    batch = answered_batch([[5, 6], [7, 8]], [[9, 10], [11]], CPU)
    raw = model.raw_scores(backbone.trunk(batch.ids), batch)[0]
    model.save(tmp_path)
    state = load_file(tmp_path / HEAD_FILE)
    state["shift"] = torch.tensor(0.3, dtype=torch.float64)
    state["scale"] = torch.tensor(2.0, dtype=torch.float64)
    save_file(state, tmp_path / HEAD_FILE)
    again = RewardModel.load(backbone, tmp_path, adapter="again")
    torch.testing.assert_close(again.score(backbone.trunk(batch.ids), batch), (raw - 0.3) / 2.0)


def test_a_broken_head_is_named(backbone: Backbone, tmp_path: Path) -> None:
    RewardModel(backbone).save(tmp_path)
    (tmp_path / HEAD_FILE).write_bytes(b"")
    with pytest.raises(Unavailable, match=HEAD_FILE):
        RewardModel.load(backbone, tmp_path)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"loss": "hinge"}, "training.reward.loss is 'hinge'"),
        ({"ties": "keep"}, "training.reward.ties"),
        ({"pooling": "first"}, "training.reward.pooling"),
        ({"tuning": "lorra"}, "training.reward.tuning"),
        ({"heads": 0}, "training.reward.heads"),
        ({"label_smoothing": 0.5}, "training.reward.label_smoothing"),
        ({"conservatism": -0.1}, "training.reward.conservatism"),
    ],
)
def test_a_setting_that_does_not_exist_is_named(given: dict, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        RewardSettings(**given)
