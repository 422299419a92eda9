"""Two iterations of PPO end at the weights of a plain program written from the papers.

That program runs the model's own forward, one sequence at a time and without padding, and shares no
function with ours: Ziegler et al. 2019, §2.2; Schulman et al. 2016, eq. 16, and 2017, eq. 7; Huang
et al. 2024. Prompts and answers have many lengths, and the pad id is no end token.
"""

import math
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reward.generation.sampling import Sample, SamplingSettings
from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.padding import AnsweredBatch
from reward.policy_optimization import ppo
from reward.policy_optimization.ppo import PPOTrainer
from reward.policy_optimization.ppo_settings import PPOSettings
from reward.policy_optimization.value_model import ValueModel

SEED, TEMPERATURE = 5, 0.7
SAMPLING = SamplingSettings(max_new_tokens=9, temperature=TEMPERATURE)
SETTINGS = PPOSettings(
    iterations=2,
    prompts_per_iteration=12,
    minibatches=3,
    epochs=2,
    value_epochs=3,
    learning_rate=3e-3,
    value_learning_rate=3e-3,
    kl_coefficient=0.3,
    max_grad_norm=1.0,
    min_entropy=0.0,
    max_kl_rise=1e9,
)
TEXTS = [[1, *range(100, 112)], [1, *range(40, 60)], [5, 6, 7]]
shuffler = random.Random(0)
PROMPTS = [[1, *shuffler.choices(range(3, 200), k=shuffler.randrange(2, 12))] for _ in range(12)]


def share_of_wanted(trunk: Tensor, batch: AnsweredBatch) -> Tensor:
    wanted = (batch.tokens >= 60) & (batch.tokens < 120) & batch.mask
    return 5.0 * wanted.sum(1) / batch.mask.sum(1)


@dataclass
class Row:
    """One completion and what is known of it."""

    prompt: list[int]
    answer: list[int]
    old: Tensor
    features: Tensor
    values: Tensor
    log_ratio: Tensor
    score: float
    advantages: Tensor
    returns: Tensor


class Plain:
    """PPO as one would write it down."""

    def __init__(self, backbone: Backbone, settings: PPOSettings, value: ValueModel) -> None:
        self.backbone, self.settings, self.value = backbone, settings, value
        self.weights = backbone.parameters("policy")
        kind: Any = {"eps": 1e-5, "weight_decay": 0.0, "betas": (0.9, 0.95)}
        self.policy = torch.optim.AdamW(self.weights, lr=settings.learning_rate, **kind)
        self.values = torch.optim.AdamW(value.parameters(), lr=settings.value_learning_rate, **kind)
        self.beta, self.seen, self.updates = settings.kl_coefficient, [], 0

    def states(self, role: str | None, ids: list[int]) -> tuple[Tensor, Tensor]:
        self.backbone.use(role)
        found = self.backbone.model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        return found.logits[0], found.hidden_states[-1][0]

    def log_probs(self, prompt: list[int], answer: list[int], role: str | None) -> Tensor:
        table = (self.states(role, [*prompt, *answer])[0] / TEMPERATURE).log_softmax(-1)
        return table[torch.arange(len(answer)) + len(prompt) - 1, torch.tensor(answer)]

    @torch.no_grad()
    def row(self, prompt: list[int], answer: list[int]) -> Row:
        old, reference = (self.log_probs(prompt, answer, role) for role in ("policy", None))
        features = self.states(None, [*prompt, *answer])[1][len(prompt) - 1 : -1]
        score = 5.0 * sum(60 <= token < 120 for token in answer) / len(answer)
        nothing = torch.zeros(0)
        values = self.value(features)
        return Row(prompt, answer, old, features, values, old - reference, score, nothing, nothing)

    def iterate(self, prompts: list[list[int]], answers: list[list[int]], number: int) -> None:
        rows = [self.row(*pair) for pair in zip(prompts, answers, strict=True)]
        self.credit(rows)
        self.whiten(rows)
        lengths = [len(one.prompt) + len(one.answer) for one in rows]
        order = sorted(range(len(rows)), key=lambda index: (lengths[index], index))
        size = math.ceil(len(rows) / self.settings.minibatches)
        batches = [[rows[i] for i in order[at : at + size]] for at in range(0, len(rows), size)]
        whole = self.settings.epochs * len(batches)
        for step, batch in enumerate(self.passes(batches, self.settings.epochs, number)):
            self.move_policy(batch, (number - 1 + step / whole) / self.settings.iterations)
        for batch in self.passes(batches, self.settings.value_epochs, number):
            self.move_value(batch)
        if self.settings.kl_target:
            kl = sum(float(one.log_ratio.sum()) for one in rows) / len(rows)
            error = min(max(kl / self.settings.kl_target - 1, -0.2), 0.2)
            self.beta *= 1 + error * len(rows) / self.settings.kl_horizon

    def passes(self, batches: list[list[Row]], epochs: int, number: int) -> list[list[Row]]:
        found = []
        for epoch in range(epochs):
            order = list(batches)
            random.Random(SEED + number + epoch).shuffle(order)
            found += order
        return found

    def credit(self, rows: list[Row]) -> None:
        settings = self.settings
        self.seen += [one.score for one in rows]
        spread = torch.tensor(self.seen).double().std().item() if settings.scale_rewards else 1.0
        for one in rows:
            score, bound = one.score / spread, settings.reward_clip
            score = max(-bound, min(bound, score)) if bound else score
            if one.answer[-1] not in self.backbone.end_tokens:
                score -= settings.missing_eos_penalty
            d = one.log_ratio
            kl = {"k1": d, "k2": d**2 / 2, "k3": (-d).exp() - 1 + d}[settings.kl_estimator]
            rewards = -self.beta * kl
            rewards[-1] += score
            one.advantages, later, value_after = torch.zeros_like(rewards), 0.0, 0.0
            for t in reversed(range(len(rewards))):
                delta = rewards[t] + settings.gamma * value_after - one.values[t]
                later = delta + settings.gamma * settings.lam * later
                one.advantages[t], value_after = later, one.values[t]
            one.returns = one.advantages + one.values

    def whiten(self, rows: list[Row]) -> None:
        every = torch.cat([one.advantages for one in rows])
        for one in rows:
            one.advantages = (one.advantages - every.mean()) / every.std(unbiased=False)

    def move_policy(self, batch: list[Row], done: float) -> None:
        settings = self.settings
        with self.backbone.training("policy"):
            now = [self.log_probs(one.prompt, one.answer, "policy") for one in batch]
            ratio = torch.cat([new - one.old for new, one in zip(now, batch, strict=True)]).exp()
            gain = torch.cat([one.advantages for one in batch])
            bounded = ratio.clamp(1 - settings.clip, 1 + settings.clip)
            loss = torch.maximum(-gain * ratio, -gain * bounded).mean()
            if settings.ptx_coefficient:
                loss = loss + settings.ptx_coefficient * self.surprise()
            self.policy.zero_grad()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, settings.max_grad_norm)
        falling = {"constant": 1.0, "cosine": (1 + math.cos(math.pi * done)) / 2}
        for group in self.policy.param_groups:
            group["lr"] = settings.learning_rate * falling[settings.schedule]
        self.policy.step()
        self.updates += 1

    def surprise(self) -> Tensor:
        count = self.settings.ptx_batch
        texts = [TEXTS[(self.updates * count + i) % len(TEXTS)] for i in range(count)]
        tables = [self.states("policy", text)[0].log_softmax(-1) for text in texts]
        said = [
            table[torch.arange(len(text) - 1), torch.tensor(text[1:])]
            for table, text in zip(tables, texts, strict=True)
        ]
        return -torch.cat(said).mean()

    def move_value(self, batch: list[Row]) -> None:
        bound = self.settings.value_clip
        now = torch.cat([self.value(one.features) for one in batch])
        old, returns = (
            torch.cat([getattr(one, n) for one in batch]) for n in ("values", "returns")
        )
        near = old + (now - old).clamp(-bound, bound)
        loss = 0.5 * torch.maximum((now - returns) ** 2, (near - returns) ** 2).mean()
        self.values.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.value.parameters(), self.settings.max_grad_norm)
        self.values.step()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kl_estimator": "k3", "schedule": "cosine", "micro_batch": 2, "value_clip": 0.01},
        {"kl_estimator": "k2", "scale_rewards": True, "reward_clip": 1.0, "kl_target": 2.0},
        {"gamma": 0.97, "lam": 0.8, "clip": 0.05, "minibatches": 5, "ptx_coefficient": 0.5},
    ],
    ids=["defaults", "k3", "k2", "ptx"],
)
def test_weights_are_those_of_a_plain_program(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    settings = replace(SETTINGS, **changes)
    backbone = load_backbone(
        tiny_folder, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4
    )
    backbone.end_tokens = sorted({*backbone.end_tokens, *range(3, 30)})
    generator = torch.Generator().manual_seed(1)
    for weight in backbone.parameters("policy"):
        weight.data += 0.05 * torch.randn(weight.shape, generator=generator)
    start = [weight.detach().clone() for weight in backbone.parameters("policy")]
    rollouts: list[tuple[list[list[int]], list[list[int]]]] = []
    sample = ppo.sample

    def remembered(*given: Any, **more: Any) -> list[Sample]:
        found = sample(*given, **more)
        rollouts.append(([list(prompt) for prompt in given[2]], [one.ids for one in found]))
        return found

    monkeypatch.setattr(ppo, "sample", remembered)
    trainer = PPOTrainer(
        backbone, share_of_wanted, settings, SAMPLING, seed=SEED, generation_batch=5,
        pretraining=TEXTS if settings.ptx_coefficient else (),
    )  # fmt: skip
    value = ValueModel(backbone.hidden_size)
    value.load_state_dict(trainer.roles.value.state_dict())
    history = trainer.train(PROMPTS, lambda iteration, metrics: None)
    assert 0.0 < history[0]["val/ended"] < 1.0
    trained = [weight.detach().clone() for weight in trainer.policy_weights]

    for weight, first in zip(backbone.parameters("policy"), start, strict=True):
        weight.data.copy_(first)
    plain = Plain(backbone, settings, value)
    for number, rollout in enumerate(rollouts, start=1):
        plain.iterate(*rollout, number)
    moved = max(float((a - b).abs().max()) for a, b in zip(trained, start, strict=True))
    assert moved > 5e-3
    for found, wanted in zip(trained, plain.weights, strict=True):
        torch.testing.assert_close(found, wanted.detach(), atol=1e-4, rtol=0.0)
    for name, wanted in value.state_dict().items():
        found = trainer.roles.value.state_dict()[name]
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0.0)
