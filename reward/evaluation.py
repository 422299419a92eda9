"""Evaluation of a candidate policy on held-out prompts, against the policy it would replace."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from reward.backbone import Backbone
from reward.conversations import answer_text
from reward.intervals import Interval, bootstrap_mean
from reward.logprobs import token_log_probs
from reward.padding import answered_batch
from reward.reward_model import RewardModel
from reward.sampling import Sample, SamplingSettings, sample

Item = TypeVar("Item")


@dataclass(frozen=True)
class EvaluationSettings:
    """Say how much is sampled to compare two policies."""

    prompts: int = 64  #: held-out prompts, at most
    samples: int = 2  #: completions of each policy for each prompt


@dataclass(frozen=True)
class PolicyFigures:
    """What a policy's held-out completions look like; `scores[p][s]` is prompt p, sample s."""

    scores: list[list[float]]
    texts: list[list[str]]
    reward: float  #: mean score
    kl: float  #: nats a completion, log π − log π_ref of its own samples
    tokens: float  #: mean tokens a completion
    ended: float  #: share that ended by themselves
    identical: float  #: share of prompts whose first answer is the most common one


@dataclass(frozen=True)
class PolicyComparison:
    """A candidate beside the live policy."""

    candidate: PolicyFigures
    live: PolicyFigures
    win_rate: Interval


def measure_policy(
    backbone: Backbone,
    adapter: str | None,
    reward: RewardModel,
    prompts: Sequence[list[int]],
    sampling: SamplingSettings,
    settings: EvaluationSettings,
    *,
    seed: int,
    batch_size: int,
) -> PolicyFigures:
    """Sample `settings.samples` completions a prompt from a policy and measure them."""
    repeated = [prompt for prompt in prompts for _ in range(settings.samples)]
    samples = sample(backbone, adapter, repeated, sampling, seed=seed, batch_size=batch_size)
    scores, kl = _score(backbone, adapter, reward, repeated, samples, sampling.temperature)
    texts = [answer_text(backbone.tokenizer, s.ids, backbone.end_tokens) for s in samples]
    firsts = Counter(texts[:: settings.samples])
    count = len(samples)
    return PolicyFigures(
        scores=_by_prompt(scores, settings.samples),
        texts=_by_prompt(texts, settings.samples),
        reward=sum(scores) / count,
        kl=kl / count,
        tokens=sum(len(one.ids) for one in samples) / count,
        ended=sum(one.ended for one in samples) / count,
        identical=firsts.most_common(1)[0][1] / len(prompts),
    )


def compare_policies(
    candidate: PolicyFigures, live: PolicyFigures, *, seed: int
) -> PolicyComparison:
    """Return the candidate's win rate by score, ties a half, with an interval over prompts."""
    outcomes = [
        [1.0 if a > b else 0.5 if a == b else 0.0 for a in ours for b in theirs]
        for ours, theirs in zip(candidate.scores, live.scores, strict=True)
    ]
    return PolicyComparison(candidate, live, bootstrap_mean(outcomes, seed=seed))


@torch.no_grad()
def _score(
    backbone: Backbone,
    adapter: str | None,
    reward: RewardModel,
    prompts: Sequence[list[int]],
    samples: Sequence[Sample],
    temperature: float,
    size: int = 16,
) -> tuple[list[float], float]:
    scores: list[float] = []
    kl = 0.0
    for start in range(0, len(prompts), size):
        rows = slice(start, start + size)
        batch = answered_batch(prompts[rows], [s.ids for s in samples[rows]], backbone.device)
        trunk = backbone.trunk(batch.ids)
        scores += reward.score(trunk, batch).tolist()
        if adapter is not None:
            tokens = batch.tokens[batch.mask]
            weight = backbone.output_weight
            ours, _ = token_log_probs(
                batch.predicting(backbone.top(trunk, adapter)), weight, tokens, temperature
            )
            reference, _ = token_log_probs(
                batch.predicting(backbone.top(trunk, None)), weight, tokens, temperature
            )
            kl += float((ours - reference).sum())
    return scores, kl


def _by_prompt(items: list[Item], each: int) -> list[list[Item]]:
    return [items[start : start + each] for start in range(0, len(items), each)]
