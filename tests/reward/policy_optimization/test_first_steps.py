"""RLOO, GRPO and DPO: TRL's first step is the one that the papers' formulas give by hand."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reward.generation.sampling import Sample, SamplingSettings
from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch
from reward.policy_optimization import trl_optimizers
from reward.policy_optimization.trl_optimizers import PreferencePair, train_with
from reward.training.optimizer_settings import OptimizerSettings

BETA, PENALTY, TEMPERATURE = 0.3, 0.5, 0.7
SETTINGS = OptimizerSettings(
    steps=1,
    prompts=3,
    generations=4,
    pairs=4,
    micro_batch=2,
    learning_rate=1e-2,
    dpo_learning_rate=1e-2,
    kl_coefficient=BETA,
    missing_eos_penalty=PENALTY,
)
SAMPLING = SamplingSettings(max_new_tokens=7, temperature=TEMPERATURE)
PROMPTS = [[5, 9, 30], [44, 8, 61, 7, 12], [33, 21]]
PAIRS = [
    PreferencePair([5, 9, 30], [40, 41, 2], [50, 2]),
    PreferencePair([7], [41], [52, 53, 54, 55]),
    PreferencePair([8, 9], [60, 61, 62], [63]),
    PreferencePair([10], [71, 72, 2], [73, 74, 75]),
]


class LowIds:
    """Scores an answer by its share of low ids."""

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        return 3.0 * ((batch.tokens < 130) & batch.mask).sum(1) / batch.mask.sum(1)


@pytest.fixture
def shaken(backbone: Backbone) -> Backbone:
    """Return a backbone whose policy is not the reference, and whose answers end now and then."""
    generator = torch.Generator().manual_seed(1)
    for weight in backbone.parameters("policy"):
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    backbone.end_tokens = sorted({*backbone.end_tokens, *range(3, 30)})
    return backbone


def log_probs(
    backbone: Backbone, role: str | None, prompt: list[int], answer: list[int], temperature: float
) -> Tensor:
    """Return log p of each answer token by the model's own forward: one sequence, no padding."""
    backbone.use(role)
    logits = backbone.model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0]
    table = (logits / temperature).log_softmax(-1)
    return table[torch.arange(len(answer)) + len(prompt) - 1, torch.tensor(answer)]


def check_step(backbone: Backbone, start: list[Tensor], loss: Callable[[], Tensor]) -> None:
    """Check that the policy is where AdamW takes it from `start` by the gradient of a loss."""
    weights = backbone.parameters("policy")
    trained = [weight.detach().clone() for weight in weights]
    for weight, first in zip(weights, start, strict=True):
        weight.data.copy_(first)
    with backbone.training("policy"):
        loss().backward()
        torch.nn.utils.clip_grad_norm_(weights, SETTINGS.max_grad_norm)
        torch.optim.AdamW(weights, lr=1e-2, weight_decay=0.0).step()
    for weight, found in zip(weights, trained, strict=True):
        torch.testing.assert_close(found, weight.detach(), atol=2e-4, rtol=0.0)


def rollout(
    backbone: Backbone, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[list[int]], list[list[int]]]:
    """Make the optimizer's step; return the prompts and the answers that it was made with."""
    prompts: list[list[int]] = []
    answers: list[list[int]] = []
    sample = trl_optimizers.sample

    def remembered(*given, **more) -> list[Sample]:  # type: ignore[no-untyped-def]
        found = sample(*given, **more)
        prompts.extend(list(prompt) for prompt in given[2])
        answers.extend(one.ids for one in found)
        return found

    monkeypatch.setattr(trl_optimizers, "sample", remembered)
    train_with(
        optimizer, backbone, scorer=LowIds(), prompts=PROMPTS, pairs=PAIRS, reference=None,
        settings=SETTINGS, sampling=SAMPLING, seed=3,
    )  # fmt: skip
    return prompts, answers


@pytest.mark.parametrize("optimizer", ["rloo", "grpo"])
def test_the_first_step_on_a_rollout(
    shaken: Backbone, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = [weight.detach().clone() for weight in shaken.parameters("policy")]
    prompts, answers = rollout(shaken, optimizer, monkeypatch)
    ended = [answer[-1] in shaken.end_tokens for answer in answers]
    assert 0 < sum(ended) < len(answers) == 12
    rewards = torch.tensor(
        [
            3.0 * sum(token < 130 for token in answer) / len(answer) - PENALTY * (not end)
            for answer, end in zip(answers, ended, strict=True)
        ]
    )

    def asked(role: str | None) -> list[Tensor]:
        return [
            log_probs(shaken, role, prompt, answer, TEMPERATURE)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    def rloo() -> Tensor:
        with torch.no_grad():
            reference = asked(None)
        now = asked("policy")
        away = [(a - b).detach().sum() for a, b in zip(now, reference, strict=True)]
        groups = (rewards - BETA * torch.stack(away)).view(-1, 4)
        advantages = (groups - (groups.sum(1, keepdim=True) - groups) / 3).view(-1)
        ratios = torch.stack([(one.sum() - one.sum().detach()).exp() for one in now])
        return -(ratios * advantages).mean()

    def grpo() -> Tensor:
        with torch.no_grad():
            reference = asked(None)
        groups = rewards.view(-1, 4)
        spread = groups.std(1, keepdim=True) + 1e-4
        advantages = ((groups - groups.mean(1, keepdim=True)) / spread).view(-1)
        total = torch.zeros(())
        for one, other, advantage in zip(asked("policy"), reference, advantages, strict=True):
            ratio = (one - one.detach()).exp()
            k3 = (other - one).exp() - 1 - (other - one)
            total = total + (ratio * (BETA * k3 - advantage)).sum()
        return total / sum(map(len, answers))

    check_step(shaken, start, rloo if optimizer == "rloo" else grpo)


def test_the_first_step_on_comparisons(shaken: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    start = [weight.detach().clone() for weight in shaken.parameters("policy")]
    rollout(shaken, "dpo", monkeypatch)

    def away(pair: PreferencePair, answer: list[int]) -> Tensor:
        with torch.no_grad():
            reference = log_probs(shaken, None, pair.prompt, answer, 1.0).sum()
        return log_probs(shaken, "policy", pair.prompt, answer, 1.0).sum() - reference

    def dpo() -> Tensor:
        margins = [away(one, one.chosen) - away(one, one.rejected) for one in PAIRS]
        return -F.logsigmoid(SETTINGS.dpo_beta * torch.stack(margins)).mean()

    check_step(shaken, start, dpo)
