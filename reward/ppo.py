"""PPO on the shared backbone (Schulman et al. 2017; Ziegler et al. 2019; Ouyang et al. 2022).

Policy and reward are adapters of one frozen backbone, the reference is no adapter, and the value
reads the reference's states: a rollout's trunk is computed once and serves all four and every
epoch. The old
log-probabilities are computed as the update computes them, not kept from sampling, so that the
ratio is exactly 1 at the first update. Leaves out: adaptive KL, PPO-ptx, more than one process.
Called by `reward/steps/ppo.py`.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reward.advantages import (
    clipped_policy_loss,
    clipped_value_loss,
    generalized_advantages,
    masked_mean,
    masked_whiten,
    token_rewards,
)
from reward.backbone import Backbone
from reward.logprobs import token_log_probs
from reward.padding import AnsweredBatch, answered_batch
from reward.sampling import Sample, SamplingSettings, sample

RewardFunction = Callable[[Tensor, AnsweredBatch], Tensor]


@dataclass(frozen=True)
class PPOSettings:
    """Say how the policy is moved."""

    iterations: int = 8  #: rollouts, each followed by its updates
    prompts_per_iteration: int = 32  #: completions in a rollout, one a prompt
    max_prompt_tokens: int = 80  #: longer prompts are left out of rollouts
    epochs: int = 2  #: passes over a rollout
    minibatches: int = 4  #: optimiser steps in a pass
    learning_rate: float = 1e-3  #: AdamW's, on the policy's adapter
    value_learning_rate: float = 1e-3  #: AdamW's, on the value model
    kl_coefficient: float = 0.05  #: β, reward taken for each nat of log π − log π_ref
    clip: float = 0.2  #: ε of the ratio
    value_clip: float = 0.2  #: most that a value may move from the rollout's
    gamma: float = 1.0  #: discount
    lam: float = 0.95  #: GAE's λ
    missing_eos_penalty: float = 1.0  #: taken from the score of an answer that was cut
    max_grad_norm: float = 1.0  #: each role's gradient is scaled down to this norm
    max_kl: float = 40.0  #: nats a completion from the reference, at most
    max_kl_rise: float = (
        6.0  #: nats a completion by which a round may move away from where it began
    )
    min_entropy: float = 0.5  #: share of the first rollout's entropy below which a policy collapses


@dataclass
class Rollout:
    """A minibatch of a rollout: answers, cached trunk, and what the update is held against.

    `trunk` is (B, W, H), `features` (N, H) the reference's states that predict the N answer tokens,
    `scores` (B,); every other tensor is (B, T) over answer tokens.
    """

    batch: AnsweredBatch
    trunk: Tensor
    features: Tensor
    scores: Tensor
    log_probs: Tensor
    reference_log_probs: Tensor
    entropy: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


class ValueModel(nn.Module):
    """The value role: a small network on the reference's hidden states, which never change.

    It is read at the position before each token. The reference's states are there anyway, for its
    log-probabilities, so a value costs no pass through the backbone, neither in the rollout nor in
    the updates (docs/decisions/0006).
    """

    def __init__(self, hidden_size: int, width: int = 256) -> None:
        """Start at zero everywhere."""
        super().__init__()
        self.inner = nn.Linear(hidden_size, width)
        self.outer = nn.Linear(width, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return the values (N,) of the reference's states (N, H)."""
        values: Tensor = self.outer(F.gelu(self.inner(features.float())))[:, 0]
        return values


class PPOTrainer:
    """Moves the adapter `policy` of a backbone up a reward function."""

    def __init__(
        self,
        backbone: Backbone,
        reward: RewardFunction,
        settings: PPOSettings,
        sampling: SamplingSettings,
        *,
        seed: int,
        generation_batch: int,
    ) -> None:
        """Prepare the value model and the optimiser; the policy starts where its adapter is."""
        self.backbone = backbone
        self.reward = reward
        self.settings = settings
        self.sampling = sampling
        self.seed = seed
        self.generation_batch = generation_batch
        self.value = ValueModel(backbone.hidden_size).to(backbone.device)
        self.policy_weights = backbone.parameters("policy")
        self.value_weights = list(self.value.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": self.policy_weights, "lr": settings.learning_rate},
                {"params": self.value_weights, "lr": settings.value_learning_rate},
            ],
            eps=1e-5,
            weight_decay=0.0,
            betas=(0.9, 0.95),
        )

    def train(
        self,
        prompts: Sequence[Sequence[int]],
        on_iteration: Callable[[int, dict[str, float]], None],
    ) -> None:
        """Run every iteration; `on_iteration` hears its number (from 1) and its metrics.

        A rollout that left the bounds on KL or entropy ends training, and the policy is the one
        that made the last rollout within them.
        """
        chosen = _endless(prompts, self.seed)
        first: dict[str, float] = {}
        within = self._weights()
        for iteration in range(1, self.settings.iterations + 1):
            batch = [next(chosen) for _ in range(self.settings.prompts_per_iteration)]
            before = self._weights()
            metrics = self.iterate(batch, seed=self.seed + iteration)
            first = first or metrics
            metrics["val/left_bounds"] = float(self._left_bounds(first, metrics))
            on_iteration(iteration, metrics)
            if metrics["val/left_bounds"]:
                self._restore(within)
                return
            within = before

    def _left_bounds(self, first: dict[str, float], now: dict[str, float]) -> bool:
        settings, kl = self.settings, now["objective/kl"]
        return (
            kl > settings.max_kl
            or kl - first["objective/kl"] > settings.max_kl_rise
            or now["objective/entropy"] < settings.min_entropy * first["objective/entropy"]
        )

    def _weights(self) -> list[Tensor]:
        return [weight.detach().clone() for weight in self.policy_weights]

    @torch.no_grad()
    def _restore(self, weights: list[Tensor]) -> None:
        for weight, kept in zip(self.policy_weights, weights, strict=True):
            weight.copy_(kept)

    def iterate(self, prompts: Sequence[Sequence[int]], *, seed: int) -> dict[str, float]:
        """Do one rollout and its updates; return its metrics by TRL's names."""
        # 1. Sample one answer for each prompt.
        samples = sample(
            self.backbone,
            "policy",
            prompts,
            self.sampling,
            seed=seed,
            batch_size=self.generation_batch,
        )
        # 2. Score, reference, value and old log-probabilities, on one cached trunk a minibatch.
        rollouts = [self._roll_out(*part) for part in self._minibatches(prompts, samples)]
        # 3. Whiten the advantages over the whole rollout.
        _whiten_together(rollouts)
        metrics = _rollout_metrics(rollouts, samples)
        # 4. Update.
        updates = [
            self._update(rollout)
            for epoch in range(self.settings.epochs)
            for rollout in _shuffled(rollouts, seed + epoch)
        ]
        metrics["val/first_ratio_error"] = updates[0]["ratio_error"]
        for name in ("policy/clipfrac", "loss/policy", "loss/value", "policy/grad_norm"):
            metrics[name] = sum(update[name] for update in updates) / len(updates)
        return metrics

    def _minibatches(
        self, prompts: Sequence[Sequence[int]], samples: Sequence[Sample]
    ) -> Iterator[tuple[list[list[int]], list[Sample]]]:
        # Sequences of like lengths share a minibatch, so that little of it is padding; which are
        # together changes with every rollout, and their order with every epoch.
        def length(row: int) -> int:
            return len(prompts[row]) + len(samples[row].ids)

        order = sorted(range(len(prompts)), key=length)
        size = -(-len(order) // self.settings.minibatches)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield [list(prompts[i]) for i in rows], [samples[i] for i in rows]

    @torch.no_grad()
    def _roll_out(self, prompts: list[list[int]], samples: list[Sample]) -> Rollout:
        settings = self.settings
        batch = answered_batch(prompts, [one.ids for one in samples], self.backbone.device)
        trunk = self.backbone.trunk(batch.ids)
        features = batch.predicting(self.backbone.top(trunk, None))
        reference, _ = self._log_probs(features, batch)
        states = batch.predicting(self.backbone.top(trunk, "policy"))
        log_probs, entropy = self._log_probs(states, batch)
        values = batch.spread(self.value(features))
        cut = torch.tensor([not one.ended for one in samples], device=self.backbone.device)
        scores = self.reward(trunk, batch) - settings.missing_eos_penalty * cut
        rewards = token_rewards(scores, log_probs, reference, batch.mask, settings.kl_coefficient)
        advantages, returns = generalized_advantages(
            rewards, values, batch.mask, settings.gamma, settings.lam
        )
        return Rollout(
            batch=batch,
            trunk=trunk,
            features=features,
            scores=scores,
            log_probs=log_probs,
            reference_log_probs=reference,
            entropy=entropy,
            values=values,
            advantages=advantages,
            returns=returns,
        )

    def _log_probs(self, states: Tensor, batch: AnsweredBatch) -> tuple[Tensor, Tensor]:
        log_probs, entropy = token_log_probs(
            states,
            self.backbone.output_weight,
            batch.tokens[batch.mask],
            self.sampling.temperature,
        )
        return batch.spread(log_probs), batch.spread(entropy)

    def _update(self, rollout: Rollout) -> dict[str, float]:
        settings, mask = self.settings, rollout.batch.mask
        with self.backbone.training("policy"):
            states = rollout.batch.predicting(self.backbone.top(rollout.trunk, "policy"))
            log_probs, _ = self._log_probs(states, rollout.batch)
            ratio = torch.exp(log_probs - rollout.log_probs)
            policy_loss = clipped_policy_loss(ratio, rollout.advantages, mask, settings.clip)
            policy_loss.backward()
        values = rollout.batch.spread(self.value(rollout.features))
        value_loss = clipped_value_loss(
            values, rollout.values, rollout.returns, mask, settings.value_clip
        )
        value_loss.backward()
        norm = nn.utils.clip_grad_norm_(self.policy_weights, settings.max_grad_norm)
        nn.utils.clip_grad_norm_(self.value_weights, settings.max_grad_norm)
        if not torch.isfinite(norm + value_loss.detach()):
            raise FloatingPointError("PPO's loss or gradient is not a finite number")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        away = (ratio.detach() - 1.0).abs() * mask
        return {
            "ratio_error": float(away.max()),
            "policy/clipfrac": float(masked_mean((away > settings.clip).float(), mask)),
            "loss/policy": float(policy_loss.detach()),
            "loss/value": float(value_loss.detach()),
            "policy/grad_norm": float(norm),
        }


def _endless(prompts: Sequence[Sequence[int]], seed: int) -> Iterator[Sequence[int]]:
    shuffler = random.Random(seed)
    while True:
        order = list(range(len(prompts)))
        shuffler.shuffle(order)
        for index in order:
            yield prompts[index]


def _shuffled(rollouts: list[Rollout], seed: int) -> list[Rollout]:
    order = list(rollouts)
    random.Random(seed).shuffle(order)
    return order


def _whiten_together(rollouts: list[Rollout]) -> None:
    flat = torch.cat([one.advantages[one.batch.mask] for one in rollouts])
    whitened = masked_whiten(flat, torch.ones_like(flat, dtype=torch.bool))
    parts = whitened.split([int(one.batch.mask.sum()) for one in rollouts])
    for one, part in zip(rollouts, parts, strict=True):
        one.advantages = one.batch.spread(part)


def _rollout_metrics(rollouts: list[Rollout], samples: Sequence[Sample]) -> dict[str, float]:
    tokens = sum(int(one.batch.mask.sum()) for one in rollouts)
    kl = sum(float((one.log_probs - one.reference_log_probs).sum()) for one in rollouts)
    returns = torch.cat([one.returns[one.batch.mask] for one in rollouts])
    values = torch.cat([one.values[one.batch.mask] for one in rollouts])
    explained = 1.0 - float((returns - values).var() / returns.var().clamp(min=1e-8))
    return {
        "objective/scores": float(torch.cat([one.scores for one in rollouts]).mean()),
        "objective/kl": kl / len(samples),
        "objective/entropy": sum(float(one.entropy.sum()) for one in rollouts) / tokens,
        "val/explained_variance": explained,
        "val/mean_tokens": tokens / len(samples),
        "val/ended": sum(one.ended for one in samples) / len(samples),
    }
