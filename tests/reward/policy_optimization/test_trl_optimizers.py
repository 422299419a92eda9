"""RLOO, GRPO and DPO on the shared backbone: what moves, what stays, and whether reward goes up."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from trl import RLOOTrainer

from reward.generation.sampling import SamplingSettings
from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch
from reward.language_models.profiles import CPU
from reward.policy_optimization.trl_optimizers import (
    PreferencePair,
    _Task,
    preference_pairs,
    scores_of,
    train_with,
)
from reward.steps.outcome import CannotTrain
from reward.steps.ppo import climb_by_trl
from reward.training.optimizer_settings import OptimizerSettings
from storage.errors import BadInput

SETTINGS = OptimizerSettings(
    steps=2, prompts=2, generations=4, pairs=4, micro_batch=4, learning_rate=1e-2
)
SAMPLING = SamplingSettings(max_new_tokens=6, temperature=0.7)
PROMPTS = [[5, 9, 30], [44, 8, 61, 7, 12], [33, 21]]
PAIRS = [PreferencePair([5, 9, 30], [40, 41, 2], [50, 2]), PreferencePair([7], [41], [52, 53])]


class LowIds:
    """Score the share of an answer's tokens that are in the first half of the vocabulary."""

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        return ((batch.tokens < 130) & batch.mask).sum(1) / batch.mask.sum(1)


def train(backbone: Backbone, optimizer: str, **changes: object) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    keywords: dict = {
        "scorer": LowIds(),
        "prompts": PROMPTS,
        "pairs": PAIRS,
        "reference": None,
        "settings": SETTINGS,
        "sampling": SAMPLING,
        "seed": 3,
        "on_step": lambda step, steps, metrics: found.append(metrics),
        **changes,
    }
    train_with(optimizer, backbone, **keywords)
    return found


def weights_of(backbone: Backbone, name: str) -> list[Tensor]:
    return [weight.detach().clone() for weight in backbone.parameters(name)]


@pytest.mark.parametrize("optimizer", ["rloo", "grpo", "dpo"])
def test_the_policy_moves_and_nothing_else(backbone: Backbone, optimizer: str) -> None:
    backbone.add_adapter("reward")
    mine = weights_of(backbone, "policy")
    others = {
        key: value.clone() for key, value in backbone.model.named_parameters()
        if ".policy." not in key
    }  # fmt: skip
    metrics = train(backbone, optimizer)
    assert not all(map(torch.equal, mine, weights_of(backbone, "policy")))
    for key, value in backbone.model.named_parameters():
        assert key not in others or torch.equal(value, others[key]), key
    assert not any(p.requires_grad for p in backbone.model.parameters())
    assert len(metrics) == 2
    assert {"loss/policy_avg", "policy/grad_norm", "policy/entropy_avg"} <= set(metrics[0])


@pytest.mark.parametrize("optimizer", ["rloo", "grpo"])
def test_steps_are_reported_by_the_names_of_ppo(backbone: Backbone, optimizer: str) -> None:
    first, second = train(backbone, optimizer)
    assert {"objective/scores", "objective/kl", "val/mean_tokens", "val/ended"} <= set(first)
    assert first["objective/kl"] == pytest.approx(0.0, abs=1e-4), (
        "the policy began as the reference"
    )
    assert second["objective/kl"] != 0.0
    assert 1.0 <= first["val/mean_tokens"] <= 6.0
    assert 0.0 <= first["val/ended"] <= 1.0


@pytest.mark.parametrize("optimizer", ["rloo", pytest.param("grpo", marks=pytest.mark.slow)])
def test_reward_goes_up(backbone: Backbone, optimizer: str) -> None:
    sizes = replace(SETTINGS, steps=12, prompts=4, generations=16, micro_batch=64)
    free = replace(sizes, learning_rate=5e-2, missing_eos_penalty=0.0, kl_coefficient=0.0)
    metrics = train(
        backbone,
        optimizer,
        settings=free,
        sampling=replace(SAMPLING, temperature=1.0),
    )
    scores = [one["objective/scores"] for one in metrics]
    assert sum(scores[-3:]) / 3 > 0.1 + sum(scores[:3]) / 3, scores


def test_a_further_update_on_a_rollout_has_no_figures_of_one(backbone: Backbone) -> None:
    settings = replace(SETTINGS, steps=1, updates=2)
    rollout, update = train(backbone, "rloo", settings=settings)
    assert "val/ended" in rollout
    assert "val/ended" not in update
    assert "loss/policy_avg" in update


def test_dpo_learns_what_was_preferred(backbone: Backbone) -> None:
    metrics = train(backbone, "dpo", settings=replace(SETTINGS, steps=8, dpo_learning_rate=1e-2))
    # At the start policy and reference agree: −log σ(0) = log 2 (Rafailov et al. 2023, eq. 7).
    assert metrics[0]["loss/policy_avg"] == pytest.approx(math.log(2), abs=1e-4)
    assert metrics[-1]["loss/policy_avg"] < 0.6
    assert metrics[-1]["rewards/accuracies"] == 1.0


def test_the_reference_is_the_role_that_is_named(backbone: Backbone) -> None:
    generator = torch.Generator().manual_seed(1)
    for weight in backbone.parameters("policy"):
        weight.data.normal_(std=0.1, generator=generator)
    backbone.copy_adapter("policy", "reference")
    for optimizer in ("rloo", "grpo"):
        one = replace(SETTINGS, steps=1)
        mine = train(backbone, optimizer, reference="reference", settings=one)[0]
        assert mine["objective/kl"] == pytest.approx(0.0, abs=1e-4)
        backbone.copy_adapter("reference", "policy")
        bare = train(backbone, optimizer, settings=one)[0]
        assert abs(bare["objective/kl"]) > 1e-2
        backbone.copy_adapter("reference", "policy")
    dpo = replace(SETTINGS, steps=1)
    loss = train(backbone, "dpo", reference="reference", settings=dpo)[0]["loss/policy_avg"]
    assert loss == pytest.approx(math.log(2), abs=1e-4)


def test_an_answer_that_was_cut_loses_the_penalty(backbone: Backbone) -> None:
    task = _Task(backbone, "policy", None, LowIds(), PROMPTS, PAIRS, SAMPLING, 0)
    score = scores_of(task, replace(SETTINGS, missing_eos_penalty=0.5, micro_batch=2))
    answers = [[140, 40, 2], [40, 40], [150, 2]]
    assert score(PROMPTS, answers) == pytest.approx([2 / 3, 1 - 0.5, 0.5])


class BrokenAt:
    """Score 1, but for one answer of each batch, whose score is no finite number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        scores = torch.ones(len(batch.ids))
        scores[-1] = self.value
        return scores


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("optimizer", ["rloo", "grpo"])
def test_a_score_that_is_no_number_ends_the_training(
    backbone: Backbone, optimizer: str, value: float
) -> None:
    with pytest.raises(BadInput, match=r"score is not .* train the reward model again"):
        train(backbone, optimizer, scorer=BrokenAt(value))


def _no_number(model: torch.nn.Module) -> Tensor:
    weight = next(one for one in model.parameters() if one.requires_grad)
    return weight.sum() * math.nan


def test_a_loss_that_is_no_number_is_a_reason_as_of_ppo(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = replace(CPU, optimizer=replace(SETTINGS, optimizer="rloo"), sampling=SAMPLING)
    monkeypatch.setattr(
        RLOOTrainer, "_compute_loss", lambda self, model, inputs: _no_number(model), raising=True
    )
    named = r"not a finite number; lower training\.optimizer\.learning_rate\.$"
    with pytest.raises(CannotTrain, match=named):
        climb_by_trl(
            backbone,
            BrokenAt(1.0),  # type: ignore[arg-type]
            PROMPTS,
            [],
            profile,
            seed=3,
            reference=None,
            report=lambda step, steps, metrics: None,
        )


@pytest.mark.parametrize("optimizer", ["rloo", "grpo", "dpo"])
def test_too_little_memory_leaves_a_size_that_divides_the_whole(
    backbone: Backbone, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    top = backbone.top

    def small(trunk: Tensor, *rest: object, **more: object) -> Tensor:
        # Sampling is halved by itself and computes no gradients.
        if torch.is_grad_enabled():
            sizes.append(len(trunk))
            if len(trunk) > (6 if optimizer == "dpo" else 3):
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return top(trunk, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(backbone, "top", small)
    sizes_of_18 = replace(SETTINGS, steps=1, prompts=3, generations=6, pairs=18, micro_batch=9)
    metrics = train(backbone, optimizer, settings=sizes_of_18)
    assert len(metrics) == 1
    whole, part, rounds = (18, 6, 6) if optimizer == "dpo" else (9, 3, 6)
    assert sizes == [whole, *[part] * rounds]


@pytest.mark.parametrize("optimizer", ["rloo", "grpo"])
def test_the_same_seed_gives_the_same_policy(backbone: Backbone, optimizer: str) -> None:
    backbone.copy_adapter("policy", "other")
    train(backbone, optimizer)
    torch.rand(5)
    train(backbone, optimizer, adapter="other")
    assert all(map(torch.equal, weights_of(backbone, "policy"), weights_of(backbone, "other")))


def test_pairs_of_rankings_leave_ties_out() -> None:
    class One:
        prompt, answers, ranks = [1], [[10], [11], [12]], [2, 1, 2]

    assert preference_pairs([One()]) == [
        PreferencePair([1], [11], [10]),
        PreferencePair([1], [11], [12]),
    ]


def test_what_does_not_fit_is_refused(backbone: Backbone) -> None:
    with pytest.raises(BadInput, match="no optimizer ppo of TRL"):
        train(backbone, "ppo")
    with pytest.raises(BadInput, match="no comparison"):
        train(backbone, "dpo", pairs=[])
    with pytest.raises(BadInput, match="no prompt"):
        train(backbone, "rloo", prompts=[])
    with pytest.raises(BadInput, match="is 8, which micro_batch 3 does not divide"):
        train(backbone, "grpo", settings=replace(SETTINGS, micro_batch=3))
    with pytest.raises(BadInput, match="must be one of ppo, rloo, grpo, dpo"):
        OptimizerSettings(optimizer="sgd")
