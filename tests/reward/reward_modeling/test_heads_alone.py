"""Reward models that train nothing of the backbone: heads on the bare model's states."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.padding import answered_batch
from reward.policy_optimization.reward_scorer import load_reward_scorer
from reward.reward_modeling.ranked_examples import cache_trunks
from reward.reward_modeling.reward_fitting import fit_reward
from reward.reward_modeling.reward_model import (
    RewardModel,
    cache_examples,
    head_scores,
    heads_alone,
)
from reward.reward_modeling.reward_settings import RewardSettings
from reward.reward_modeling.reward_training import train_reward_model
from tests.reward.ranked_tokens import ranked_tokens

SETTINGS = RewardSettings(tuning="head", learning_rate=1e-2)


def _backbone(folder: Path, tuning: str) -> Backbone:
    return load_backbone(
        folder, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4, tuning=tuning
    )


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("packs", [True, False])
def test_kept_states_give_the_scores_that_a_pass_gives(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch, pooling: str, packs: bool
) -> None:
    monkeypatch.setattr(Backbone, "packs", packs)
    settings = replace(SETTINGS, pooling=pooling)
    model = RewardModel.fresh(backbone, settings)
    torch.nn.init.normal_(model.head.weight)
    examples = ranked_tokens(3, 0)
    kept = cache_examples(backbone, examples, settings)
    assert all(one.trunk.numel() == 0 for one in kept)
    for ours, theirs in zip(
        head_scores(model, kept), head_scores(model, cache_trunks(backbone, examples)), strict=True
    ):
        assert float(ours.std()) > 0
        torch.testing.assert_close(ours, theirs)


def test_only_the_heads_are_trained_and_no_role_is_made(tiny_folder: Path) -> None:
    backbone = _backbone(tiny_folder, "lora")
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    model = RewardModel.fresh(backbone, SETTINGS)
    train_reward_model(
        model, cache_examples(backbone, ranked_tokens(20, 0), SETTINGS), SETTINGS, seed=1
    )
    assert float(model.head.weight.detach().abs().max()) > 0
    after = backbone.model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_they_learn_are_tested_and_differ_as_every_reward_model_does(backbone: Backbone) -> None:
    found = fit_reward(backbone, ranked_tokens(40, 1), [], SETTINGS, seed=3)
    assert found.report.accuracy.low > 0.6
    assert isinstance(found.model, RewardModel)
    assert isinstance(found.second, RewardModel)
    assert not torch.equal(found.model.head.weight, found.second.head.weight)


@pytest.mark.parametrize("tuning", ["lora", "bitfit", "prompt", "head"])
def test_they_go_with_a_backbone_of_any_method(
    tiny_folder: Path, tmp_path: Path, tuning: str
) -> None:
    model = RewardModel.fresh(_backbone(tiny_folder, "full"), SETTINGS)
    torch.nn.init.normal_(model.head.weight)
    model.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["head.safetensors"]
    assert heads_alone(tmp_path)
    batch = answered_batch([[5, 6, 7], [8, 9]], [[10, 11], [12, 13, 14]], torch.device("cpu"))
    other = _backbone(tiny_folder, tuning)
    torch.testing.assert_close(
        load_reward_scorer(other, tmp_path).score(other.trunk(batch.ids), batch),
        model.score(model.backbone.trunk(batch.ids), batch),
    )


def test_a_reward_model_with_an_adapter_is_told_from_one_without(
    tiny_folder: Path, tmp_path: Path
) -> None:
    for name, tuning in (("own", "lora"), ("empty", "head")):
        (tmp_path / name).mkdir()
        RewardModel(_backbone(tiny_folder, tuning)).save(tmp_path / name)
    assert not heads_alone(tmp_path / "own")
    # As older versions saved it: an adapter that holds nothing.
    assert heads_alone(tmp_path / "empty")
