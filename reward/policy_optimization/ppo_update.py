"""The updates that follow a rollout: the policy's clipped steps, then the value model's.

A minibatch is a list of parts whose gradients are added up before the optimiser steps, each part
weighted by its share of the minibatch's tokens: parts, and processes, change nothing but memory.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reward.language_models.padding import answered_batch
from reward.policy_optimization.advantages import (
    clip_binds,
    clipped_policy_loss,
    clipped_value_loss,
    masked_mean,
)
from reward.policy_optimization.logprobs import token_log_probs
from reward.policy_optimization.ppo_settings import PPOSettings
from reward.policy_optimization.rollout import Roles, RolloutPart, policy_log_probs
from reward.training.freed_memory import return_freed_memory
from reward.training.optimizer_state import optimizer_tensors, restore_optimizer
from reward.training.processes import Processes
from reward.training.schedules import learning_rate_factor

Minibatch = list[RolloutPart]
Metrics = dict[str, float]


class PPOUpdate:
    """Holds both optimisers and turns a rollout into steps."""

    def __init__(
        self,
        roles: Roles,
        settings: PPOSettings,
        temperature: float,
        pretraining: Sequence[Sequence[int]],
        processes: Processes,
    ) -> None:
        """Prepare AdamW for the policy and for the value model."""
        self.roles = roles
        self.settings = settings
        self.temperature = temperature
        # A window of the file may be longer than this model reads.
        room = roles.backbone.context_length
        self.pretraining = [text[:room] for text in pretraining]
        self.processes = processes
        self.updates = 0
        self.policy_weights = roles.backbone.parameters(roles.policy)
        self.value_weights = list(roles.value.parameters())
        self.optimizer = _adamw(self.policy_weights, settings.learning_rate)
        self.value_optimizer = _adamw(self.value_weights, settings.value_learning_rate)

    def run(self, minibatches: list[Minibatch], seed: int, rollouts: int) -> Metrics:
        """Do every epoch on a rollout after so many others; return the mean of its metrics."""
        updates = self._update_policy(minibatches, seed, rollouts)
        losses = [
            self._step_value(minibatch)
            for epoch in range(self.settings.value_epochs)
            for minibatch in _shuffled(minibatches, seed + epoch)
        ]
        names = [name for name in updates[0] if name != "val/ratio_error"]
        return {
            **{name: sum(one[name] for one in updates) / len(updates) for name in names},
            "val/first_ratio_error": updates[0]["val/ratio_error"],
            "loss/value_avg": sum(losses) / max(1, len(losses)),
            "lr": float(self.optimizer.param_groups[0]["lr"]),
        }

    def _update_policy(
        self, minibatches: list[Minibatch], seed: int, rollouts: int
    ) -> list[Metrics]:
        updates: list[Metrics] = []
        planned = self.settings.epochs * len(minibatches)
        for epoch in range(self.settings.epochs):
            # What the pass before has freed is in pieces that this one's activations do not fit.
            return_freed_memory()
            passed: list[Metrics] = []
            for one in _shuffled(minibatches, seed + epoch):
                # By rollouts, not by updates: epochs that are left out do not hold the rate up.
                done = rollouts + (len(updates) + len(passed)) / planned
                passed.append(self._step(one, done / self.settings.iterations))
            updates += passed
            moved = sum(one["policy/approxkl_avg"] for one in passed) / len(passed)
            if 0 < self.settings.max_update_kl < moved:
                break
        return updates

    def _step(self, minibatch: Minibatch, share: float) -> Metrics:
        """Move the policy by one minibatch, when `share` (0 to 1) of training is done."""
        settings = self.settings
        (tokens,) = self.processes.sum(sum(part.tokens for part in minibatch))
        sums = [0.0] * 5
        worst = 0.0
        for part in minibatch:
            mask = part.batch.mask
            with self.roles.backbone.training("policy"):
                log_probs, entropies = policy_log_probs(
                    self.roles, part.trunk, part.batch, self.temperature
                )
                change = log_probs - part.log_probs
                ratio = torch.exp(change)
                loss = clipped_policy_loss(ratio, part.advantages, mask, settings.clip)
                (loss * (part.tokens / tokens)).backward()
            ratio = ratio.detach()
            away = ((ratio - 1.0).abs() * mask).float()
            worst = max(worst, float(away.max()))
            means = (
                loss.detach(),
                masked_mean(0.5 * change.detach() ** 2, mask),
                masked_mean(clip_binds(ratio, part.advantages, settings.clip), mask),
                masked_mean(ratio, mask),
                masked_mean(entropies, mask),
            )
            sums = [a + float(b) * part.tokens for a, b in zip(sums, means, strict=True)]
        largest = max((len(part.batch.ids) for part in minibatch), default=1)
        # The same in every process: gradients of other parts differ by their rounding.
        norm = self._apply(share, at_once=max(self.processes.gather(largest)))
        loss_sum, kl, clip_share, mean_ratio, entropy = (
            x / tokens for x in self.processes.sum(*sums)
        )
        return {
            "val/ratio_error": max(self.processes.gather(worst)),
            "loss/policy_avg": loss_sum,
            "policy/approxkl_avg": kl,
            "policy/clipfrac_avg": clip_share,
            "policy/entropy_avg": entropy,
            "val/ratio": mean_ratio,
            "policy/grad_norm": norm,
        }

    def _apply(self, share: float, at_once: int) -> float:
        settings = self.settings
        self.processes.sum_gradients(self.policy_weights)
        if settings.ptx_coefficient > 0 and self.pretraining:
            self._add_pretraining_gradient(at_once)
        norm = nn.utils.clip_grad_norm_(self.policy_weights, settings.max_grad_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError("PPO's loss or gradient is not a finite number")
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(settings.schedule, share)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates += 1
        return float(norm)

    def _add_pretraining_gradient(self, at_once: int) -> None:
        """Add the gradient of γ times the mean loss on pretraining texts (Ouyang et al., eq. 2).

        No more texts go through the model at once than completions do, so that what was halved for
        want of memory stays so.
        """
        count = self.settings.ptx_batch
        start = self.updates * count
        texts = [self.pretraining[(start + i) % len(self.pretraining)] for i in range(count)]
        tokens = sum(len(text) - 1 for text in texts)
        for at in range(0, count, at_once):
            self._add_gradient_of(texts[at : at + at_once], self.settings.ptx_coefficient / tokens)

    def _add_gradient_of(self, texts: Sequence[Sequence[int]], price: float) -> None:
        """Add the gradient of the summed loss on texts times `price`."""
        backbone = self.roles.backbone
        batch = answered_batch([text[:1] for text in texts], [text[1:] for text in texts],
                               backbone.device)  # fmt: skip
        trunk = backbone.trunk(batch.ids)
        with backbone.training("policy"):
            states = batch.predicting(backbone.top(trunk, "policy"))
            weight = backbone.output_weight_of("policy")
            log_probs, _ = token_log_probs(states, weight, batch.tokens[batch.mask])
            (-price * log_probs.sum()).backward()

    def _step_value(self, minibatch: Minibatch) -> float:
        (tokens,) = self.processes.sum(sum(part.tokens for part in minibatch))
        total = 0.0
        for part in minibatch:
            mask = part.batch.mask
            values = part.batch.spread(self.roles.value(part.features))
            loss = clipped_value_loss(
                values, part.values, part.returns, mask, self.settings.value_clip
            )
            (loss * (part.tokens / tokens)).backward()
            total += float(loss.detach()) * part.tokens
        self.processes.sum_gradients(self.value_weights)
        norm = nn.utils.clip_grad_norm_(self.value_weights, self.settings.max_grad_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError("PPO's value loss is not a finite number")
        self.value_optimizer.step()
        self.value_optimizer.zero_grad(set_to_none=True)
        return self.processes.sum(total)[0] / tokens

    def tensors(self) -> dict[str, Tensor]:
        """Return copies on the CPU of the weights and of both optimisers' moments."""
        found = {f"policy.{i}": on_cpu(one) for i, one in enumerate(self.policy_weights)}
        found |= {f"value.{i}": on_cpu(one) for i, one in enumerate(self.value_weights)}
        found |= optimizer_tensors(self.optimizer, "policy_optimizer", device="cpu")
        return found | optimizer_tensors(self.value_optimizer, "value_optimizer", device="cpu")

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], updates: int) -> None:
        """Set weights and moments to what `tensors` returned after so many updates."""
        self.updates = updates
        for name, weights in (("policy", self.policy_weights), ("value", self.value_weights)):
            for i, weight in enumerate(weights):
                weight.copy_(tensors[f"{name}.{i}"])
                weight.grad = None
        restore_optimizer(self.optimizer, tensors, "policy_optimizer")
        restore_optimizer(self.value_optimizer, tensors, "value_optimizer")


def on_cpu(value: Tensor) -> Tensor:
    """Return a copy on the CPU, so that what is kept to go back to takes no device memory."""
    return value.detach().to("cpu", copy=True)


def _adamw(parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        parameters, lr=learning_rate, eps=1e-5, weight_decay=0.0, betas=(0.9, 0.95)
    )


def _shuffled(minibatches: list[Minibatch], seed: int) -> list[Minibatch]:
    order = list(minibatches)
    random.Random(seed).shuffle(order)
    return order
