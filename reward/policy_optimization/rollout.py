"""A rollout: sampled completions, what every role says of them, and their advantages.

A rollout is cut into parts that go through the model together. The trunk of a part is computed once
and serves policy, reference, reward and every epoch of the update.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reward.generation.sampling import Sample
from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch, answered_batch
from reward.policy_optimization.advantages import generalized_advantages, token_rewards
from reward.policy_optimization.kl import kl_estimate
from reward.policy_optimization.logprobs import token_log_probs
from reward.policy_optimization.ppo_settings import PPOSettings
from reward.policy_optimization.value_model import ValueModel

RewardFunction = Callable[[Tensor, AnsweredBatch], Tensor]


@dataclass
class RolloutPart:
    """Completions that share a forward pass.

    `trunk` is (B, W, H), `features` (N, H) the reference's states that predict the N answer tokens,
    `scores`, `ended` and `final_scores` (scaled, clipped, fined for being cut) (B,); every other
    tensor is (B, T) over answer tokens. `log_probs` are those that the ratio is taken to,
    `sampler_log_probs` those that the tokens were drawn with. Advantages, returns and final scores
    are zero until the scores of the whole rollout are known.
    """

    batch: AnsweredBatch
    trunk: Tensor
    features: Tensor
    scores: Tensor
    ended: Tensor
    log_probs: Tensor
    sampler_log_probs: Tensor
    reference_log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    rewards: Tensor
    final_scores: Tensor

    @property
    def tokens(self) -> int:
        """Count the answer tokens."""
        return int(self.batch.mask.sum())


@dataclass(frozen=True)
class Roles:
    """Who plays which part on one backbone; None is the bare model."""

    backbone: Backbone
    policy: str
    reference: str | None
    value: ValueModel
    reward: RewardFunction


@torch.no_grad()
def roll_out(
    roles: Roles,
    prompts: Sequence[Sequence[int]],
    samples: Sequence[Sample],
    temperature: float,
    *,
    keep_sampled: bool,
) -> RolloutPart:
    """Lay samples out as one batch and ask every role about them.

    `keep_sampled` takes the policy's log-probabilities from sampling instead of computing them.
    """
    backbone = roles.backbone
    batch = answered_batch(prompts, [one.ids for one in samples], backbone.device)
    trunk = backbone.trunk(batch.ids)
    features = batch.predicting(backbone.top(trunk, roles.reference))
    reference, _ = _log_probs(backbone, roles.reference, features, batch, temperature)
    drawn_with = _sampled(samples, batch)
    log_probs = drawn_with
    if not keep_sampled:
        log_probs, _ = policy_log_probs(roles, trunk, batch, temperature)
    values = batch.spread(roles.value(features))
    return RolloutPart(
        batch=batch,
        trunk=trunk,
        features=features,
        scores=roles.reward(trunk, batch).float(),
        ended=torch.tensor([one.ended for one in samples], device=backbone.device),
        log_probs=log_probs,
        sampler_log_probs=drawn_with,
        reference_log_probs=reference,
        values=values,
        advantages=torch.zeros_like(values),
        returns=torch.zeros_like(values),
        rewards=torch.zeros_like(values),
        final_scores=torch.zeros(len(batch.ids), device=backbone.device),
    )


def policy_log_probs(
    roles: Roles, trunk: Tensor, batch: AnsweredBatch, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the policy's log-probabilities and entropies (nats), both (B, T).

    The first has a gradient where the policy is in training.
    """
    states = batch.predicting(roles.backbone.top(trunk, roles.policy))
    return _log_probs(roles.backbone, roles.policy, states, batch, temperature)


def _log_probs(
    backbone: Backbone, role: str | None, states: Tensor, batch: AnsweredBatch, temperature: float
) -> tuple[Tensor, Tensor]:
    weight = backbone.output_weight_of(role)
    found, entropies = token_log_probs(states, weight, batch.tokens[batch.mask], temperature)
    return batch.spread(found), batch.spread(entropies)


def _sampled(samples: Sequence[Sample], batch: AnsweredBatch) -> Tensor:
    flat = [log_prob for one in samples for log_prob in one.log_probs]
    return batch.spread(torch.tensor(flat, dtype=torch.float32, device=batch.ids.device))


def credit(part: RolloutPart, scores: Tensor, coefficient: float, settings: PPOSettings) -> None:
    """Turn the part's final scores (B,) and the KL at price β into advantages and returns."""
    part.final_scores = scores - settings.missing_eos_penalty * ~part.ended
    kl = kl_estimate(part.log_probs, part.reference_log_probs, settings.kl_estimator)
    part.rewards = token_rewards(part.final_scores, kl, part.batch.mask, coefficient)
    part.advantages, part.returns = generalized_advantages(
        part.rewards, part.values, part.batch.mask, settings.gamma, settings.lam
    )
