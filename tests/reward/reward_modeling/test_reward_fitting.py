"""A reward model from rankings: both models, normalisation, and going on after a kill."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from labeling.judging.rankings import dense_ranks
from reward.generation.sampling import SamplingSettings
from reward.language_models.backbone import Backbone
from reward.language_models.padding import answered_batch
from reward.policy_optimization.reward_scorer import load_reward_scorer
from reward.reward_modeling.feature_model import FeatureRewardModel, FeatureSettings
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.reward_fitting import (
    FittedReward,
    fit_reward,
    reference_samples,
)
from reward.reward_modeling.reward_model import RewardModel
from reward.reward_modeling.reward_settings import RewardSettings
from reward.training.progress_checkpoint import ProgressPlace
from storage.errors import Unavailable
from tests.reward.ranked_tokens import ranked_tokens

SETTINGS = RewardSettings(learning_rate=1e-2, epochs=4)
Rankings = list[RankedExample]


def _score(model, backbone: Backbone, examples: Rankings) -> torch.Tensor:  # type: ignore[no-untyped-def]
    batch = answered_batch(
        [one.prompt for one in examples for _ in one.answers],
        [answer for one in examples for answer in one.answers],
        torch.device("cpu"),
    )
    return model.score(backbone.trunk(batch.ids), batch)  # type: ignore[no-any-return]


def _samples(backbone: Backbone) -> Rankings:
    prompts = [one.prompt for one in ranked_tokens(12, 9)]
    sampling = SamplingSettings(max_new_tokens=8)
    return reference_samples(backbone, None, prompts, sampling, seed=0, batch_size=8)


def test_both_models_learn_differ_and_score_the_reference_alike(
    backbone: Backbone, tmp_path: Path
) -> None:
    points: list[tuple[int, int, set[str]]] = []
    samples = _samples(backbone)
    found = fit_reward(
        backbone,
        ranked_tokens(40, 1),
        ranked_tokens(10, 2, first_group=100),
        SETTINGS,
        seed=3,
        normalise_on=samples,
        report=lambda step, steps, metrics: points.append((step, steps, set(metrics))),
    )
    assert found.report.accuracy.low > 0.6
    assert 0 < found.report.loss < math.log(2) and 0 <= found.report.calibration_error < 0.5
    assert found.report.accuracy.clusters == 49, "one of the 50 is all ties"
    assert points[-1][0] == points[-1][1] == 80
    assert [step for step, _, _ in points] == sorted(step for step, _, _ in points)
    curves = {"loss/reward_fold", "loss/reward", "accuracy", "margin", "mean_reward"}
    assert {name for _, _, names in points for name in names} == curves
    unseen = ranked_tokens(20, 7)
    scores = [_score(model, backbone, unseen) for model in (found.model, found.second)]
    agreement = torch.corrcoef(torch.stack(scores))[0, 1].item()
    assert 0.5 < agreement < 0.999
    for model, name in ((found.model, "reward"), (found.second, "second_reward")):
        own = _score(model, backbone, samples)
        assert own.mean().item() == pytest.approx(0.0, abs=1e-4)
        assert own.std().item() == pytest.approx(1.0, abs=1e-4)
        model.save(tmp_path / name)
    again = load_reward_scorer(backbone, tmp_path / "second_reward", adapter="second_reward")
    assert isinstance(again, RewardModel)
    torch.testing.assert_close(_score(again, backbone, unseen), scores[1])


def test_without_samples_the_rankings_are_normalised_on(backbone: Backbone) -> None:
    train = ranked_tokens(20, 1)
    found = fit_reward(backbone, train, [], SETTINGS, seed=3)
    scores = _score(found.model, backbone, train)
    assert scores.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert scores.std().item() == pytest.approx(1.0, abs=1e-4)


def test_the_feature_based_model_is_fitted_and_tested_the_same_way(
    backbone: Backbone, tmp_path: Path
) -> None:
    rng = random.Random(0)
    train = []
    for group in range(30):
        lengths = rng.sample(range(2, 30), 4)
        answers = [[backbone.tokenizer.convert_tokens_to_ids("a")] * length for length in lengths]
        train.append(RankedExample([5, 6], answers, dense_ranks(lengths), group))
    found = fit_reward(
        backbone,
        train,
        [],
        replace(SETTINGS, tuning="feature"),
        seed=3,
        features=FeatureSettings(embeddings=()),
    )
    assert found.report.accuracy.value > 0.9
    scores = _score(found.model, backbone, train)
    assert scores.mean().item() == pytest.approx(0.0, abs=1e-4)
    for name, model in (("reward", found.model), ("second_reward", found.second)):
        model.save(tmp_path / name)
        again = load_reward_scorer(backbone, tmp_path / name)
        assert isinstance(again, FeatureRewardModel)
        torch.testing.assert_close(_score(again, backbone, train), _score(model, backbone, train))
    assert not torch.equal(_score(found.second, backbone, train), scores)


class _Killed(Exception):
    pass


def _fit(backbone: Backbone, place: ProgressPlace | None, kill_at: int = 0) -> FittedReward:
    def report(step: int, steps: int, metrics: object) -> None:
        if step == kill_at:
            raise _Killed

    return fit_reward(
        backbone,
        ranked_tokens(16, 1),
        [],
        replace(SETTINGS, progress_seconds=0.0),
        seed=3,
        report=report,
        progress=place,
    )


@pytest.mark.parametrize("kill_at", [5, 13, 26])
def test_a_step_killed_in_any_of_its_fits_ends_as_if_it_was_not(
    backbone: Backbone, tmp_path: Path, kill_at: int
) -> None:
    unseen = ranked_tokens(6, 7)
    whole = _fit(backbone, None)
    expected = [_score(model, backbone, unseen) for model in (whole.model, whole.second)]
    place = ProgressPlace(tmp_path, "checkpoints/progress")
    with pytest.raises(_Killed):
        _fit(backbone, place, kill_at)
    again = _fit(backbone, place)
    found = [_score(model, backbone, unseen) for model in (again.model, again.second)]
    assert all(map(torch.equal, expected, found))
    assert (again.report, again.loss) == (whole.report, whole.loss)


def test_a_folder_without_a_reward_model_is_named(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"head\.safetensors"):
        load_reward_scorer(backbone, tmp_path)
