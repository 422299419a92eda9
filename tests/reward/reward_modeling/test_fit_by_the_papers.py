"""A fit of the reward model ends at the weights of a plain program written from the papers.

That program reads every answer by itself, behind its prompt, by the model's own forward, and writes
the losses out pair by pair or choice by choice: Ouyang et al. 2022, §3.5; Touvron et al. 2023,
§3.2.2; Ozdemir 2023, ch. 8; Plackett 1975.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reward.language_models.backbone import Backbone
from reward.reward_modeling.ranked_examples import RankedExample, cache_trunks
from reward.reward_modeling.reward_model import RewardModel
from reward.reward_modeling.reward_settings import RewardSettings
from reward.reward_modeling.reward_training import bootstrap_counts, train_reward_model

SEED = 11
SETTINGS = RewardSettings(learning_rate=1e-2, epochs=2, heads=3)
chance = random.Random(0)


def _ids(least: int, most: int) -> list[int]:
    return chance.choices(range(3, 200), k=chance.randrange(least, most))


# Prompts with one ranking and with two, ties among them, weights, strengths and scores.
RANKINGS = [
    RankedExample(
        _ids(2, 9),
        [_ids(1, 9) for _ in ranks],
        list(ranks),
        group=100 + number % 5,
        weight=(1.0, 0.5, 0.25)[number % 3],
        strength=(None, 3.0)[number % 2],
        scores=[chance.random() * 3 for _ in ranks] if number % 3 == 0 else None,
    )
    for number, ranks in enumerate(
        [(1, 2), (2, 1), (1, 1), (3, 1, 2), (2, 1, 1), (4, 2, 1, 3), (1, 2, 2, 1), (2, 1)]
    )
]


def loss_of(scores: Tensor, one: RankedExample, settings: RewardSettings) -> Tensor:
    """Return the mean loss of one head's scores (K,)."""
    terms = choices(scores, one, settings) if settings.loss == "plackett_luce" else None
    found = list(pairs(scores, one, settings) if terms is None else terms)
    return torch.stack(found).mean()


def choices(scores: Tensor, one: RankedExample, settings: RewardSettings) -> Iterator[Tensor]:
    wrong = settings.label_smoothing
    for i, rank in enumerate(one.ranks):
        worse = [j for j, other in enumerate(one.ranks) if other > rank]
        equal = [j for j, other in enumerate(one.ranks) if other == rank and j != i]
        field = [*worse, *(equal if settings.ties == "half" else [])]
        if field:
            log_p = scores[[i, *field]].log_softmax(0)
            yield -(1 - wrong) * log_p[0] - wrong * log_p[1:].mean()


def pairs(scores: Tensor, one: RankedExample, settings: RewardSettings) -> Iterator[Tensor]:
    for i, j in itertools.combinations(range(len(one.ranks)), 2):
        a, b = (i, j) if one.ranks[i] <= one.ranks[j] else (j, i)
        tie = one.ranks[a] == one.ranks[b]
        if tie and settings.ties == "drop":
            continue
        right = 0.5 if tie else 1 - settings.label_smoothing
        gap = 0.0 if tie else gap_of(one, a, b)
        apart, margin = scores[a] - scores[b], 0.0
        if settings.loss == "score_difference":
            apart = apart * gap**2
        if settings.loss == "margin":
            margin = settings.margin * gap
        yield -right * F.logsigmoid(apart - margin) - (1 - right) * F.logsigmoid(-apart - margin)


def gap_of(one: RankedExample, better: int, worse: int) -> float:
    if one.scores is not None:
        return max(0.0, one.scores[better] - one.scores[worse])
    if one.strength is not None and len(one.ranks) == 2:
        return one.strength
    return one.ranks[worse] - one.ranks[better]


def plain_fit(backbone: Backbone, settings: RewardSettings) -> Tensor:
    """Fit the adapter `reward` from the weights that it has; return the heads (H, hidden)."""
    comparing = [one for one in RANKINGS if len(set(one.ranks)) > 1 or settings.ties == "half"]
    of_prompt = Counter(one.group for one in comparing)
    shares = torch.tensor([one.weight / of_prompt[one.group] for one in comparing])
    drawn = [bootstrap_counts(SEED, one.group, settings.heads) for one in comparing]
    weights = shares * torch.tensor(drawn).T
    weights = weights / weights.mean(1, keepdim=True)
    head = torch.zeros(settings.heads, backbone.hidden_size, requires_grad=True)
    trained = [*backbone.parameters("reward"), head]
    optimizer = torch.optim.AdamW(trained, weight_decay=settings.weight_decay)
    body = backbone.model.get_base_model().model

    def scores_of(one: RankedExample) -> Tensor:
        found = []
        for answer in one.answers:
            ids = torch.tensor([[*one.prompt, *answer]])
            states = body(input_ids=ids, use_cache=False).last_hidden_state[0, len(one.prompt) :]
            found.append(head @ (states.mean(0) if settings.pooling == "mean" else states[-1]))
        return torch.stack(found, dim=1)

    size, shuffler, step = settings.rankings_per_step, random.Random(SEED), 0
    steps = settings.epochs * math.ceil(len(comparing) / size)
    for _ in range(settings.epochs):
        order = list(range(len(comparing)))
        shuffler.shuffle(order)
        for at in range(0, len(order), size):
            step, part = step + 1, order[at : at + size]
            rate = min(1.0, step / settings.warmup_steps) * max(0.1, 1 - (step - 1) / steps)
            optimizer.param_groups[0]["lr"] = settings.learning_rate * rate
            backbone.use("reward")
            with backbone.training("reward"):
                total = torch.zeros(())
                for i in part:
                    for scores, weight in zip(scores_of(comparing[i]), weights[:, i], strict=True):
                        total = total + weight * loss_of(scores, comparing[i], settings)
                optimizer.zero_grad()
                (total / settings.heads / len(part)).backward()
            torch.nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
            optimizer.step()
    return head.detach()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ties": "half", "label_smoothing": 0.1, "pooling": "last", "tokens_at_once": 30},
        {"loss": "margin", "label_smoothing": 0.2},
        {"loss": "score_difference"},
        {"loss": "plackett_luce", "ties": "half", "label_smoothing": 0.1},
    ],
    ids=["defaults", "half", "margin", "score_difference", "plackett_luce"],
)
def test_weights_are_those_of_a_plain_program(backbone: Backbone, changes: dict[str, Any]) -> None:
    settings = replace(SETTINGS, **changes)
    model = RewardModel.fresh(backbone, settings)
    start = [weight.detach().clone() for weight in backbone.parameters("reward")]
    train_reward_model(model, cache_trunks(backbone, RANKINGS), settings, seed=SEED)
    trained = [weight.detach().clone() for weight in backbone.parameters("reward")]
    assert max(float((a - b).abs().max()) for a, b in zip(trained, start, strict=True)) > 5e-3
    for weight, first in zip(backbone.parameters("reward"), start, strict=True):
        weight.data.copy_(first)
    head = plain_fit(backbone, settings)
    torch.testing.assert_close(model.head.weight.detach(), head, atol=5e-4, rtol=0.0)
    for found, wanted in zip(trained, backbone.parameters("reward"), strict=True):
        torch.testing.assert_close(found, wanted.detach(), atol=5e-4, rtol=0.0)
