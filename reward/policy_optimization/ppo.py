"""PPO on the shared backbone (Schulman et al. 2017; Ziegler et al. 2019; Ouyang et al. 2022).

Policy, reference and reward are roles of one backbone and the value reads the reference's states: a
rollout's trunk is computed once and serves all four and every epoch. On several processes
(`accelerate launch`) each samples and updates with its share of a rollout, and gradients are
summed: two processes do what one would. Settings are in `ppo_settings.py`, what a rollout holds in
`rollout.py`. Called by `reward/steps/ppo.py` and `reward/stages/ppo.py`.
"""

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from reward.generation.sampling import Sample, SamplingSettings, sample
from reward.language_models.backbone import Backbone
from reward.language_models.trained_shape import trained_shape
from reward.policy_optimization.advantages import whiten_together
from reward.policy_optimization.kl import kl_controller
from reward.policy_optimization.ppo_settings import PPOSettings
from reward.policy_optimization.ppo_update import Minibatch, PPOUpdate, on_cpu
from reward.policy_optimization.reward_scale import RunningScale, clipped
from reward.policy_optimization.reward_scorer import check_scores
from reward.policy_optimization.rollout import RewardFunction, Roles, RolloutPart, credit, roll_out
from reward.policy_optimization.rollout_metrics import rollout_metrics, sums_of_scores
from reward.policy_optimization.training_history import LEFT_BOUNDS, left_bounds
from reward.policy_optimization.value_model import ValueModel
from reward.training.out_of_memory import is_out_of_memory
from reward.training.processes import Processes

Metrics = dict[str, float]
State = tuple[dict[str, Tensor], dict[str, Any]]


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
        reference: str | None = None,
        value_head: tuple[Tensor, float] | None = None,
        pretraining: Sequence[Sequence[int]] = (),
        processes: Processes | None = None,
    ) -> None:
        """Prepare the value model and the optimisers; the policy starts where its adapter is.

        `reference` names the adapter that KL is taken to (None: the bare model), `value_head` is a
        weight (H,) and a bias that the value starts from, `pretraining` holds token ids for
        PPO-ptx.
        """
        self.settings = settings
        self.sampling = sampling
        self.seed = seed
        self.generation_batch = generation_batch
        self.processes = processes or Processes.current()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            value = ValueModel(backbone.hidden_size).to(backbone.device)
        if value_head is not None and settings.value_from_reward:
            value.start_from(*value_head)
        self.roles = Roles(backbone, "policy", reference, value, reward)
        self.update = PPOUpdate(
            self.roles, settings, sampling.temperature, pretraining, self.processes
        )
        self.policy_weights = self.update.policy_weights
        self.kl = kl_controller(settings.kl_coefficient, settings.kl_target, settings.kl_horizon)
        self.scale = RunningScale()
        self.micro_batch = settings.micro_batch
        # Under a nucleus the sampler's distribution is not the policy's, and in half precision its
        # passes are not the update's to the last digit that the ratio needs.
        exact = backbone.output_weight.dtype == torch.float32
        self.keep_sampled = sampling.top_p >= 1.0 and exact
        self.history: list[Metrics] = []
        self.prompts = ""
        self.within = self._weights()

    def train(
        self,
        prompts: Sequence[Sequence[int]],
        on_iteration: Callable[[int, Metrics], None],
        keep: Callable[[State], None] = lambda state: None,
    ) -> list[Metrics]:
        """Run every iteration that is left; `on_iteration` hears its number (from 1) and metrics.

        `keep` is given the trainer's state after each, for `resume`. A rollout that left the bounds
        on KL or entropy ends training, and the policy is the one that made the last rollout within
        them. Returns the metrics of all iterations.
        """
        self.prompts = prompts_sha256(prompts)
        size = self.settings.prompts_per_iteration
        chosen = _endless(prompts, self.seed)
        for _ in range(len(self.history) * size):
            next(chosen)
        while len(self.history) < self.settings.iterations and not self._stopped():
            iteration = len(self.history) + 1
            before = self._weights()
            batch = [next(chosen) for _ in range(size)]
            metrics = self.iterate(batch, seed=self.seed + iteration)
            first = self.history[0] if self.history else metrics
            metrics[LEFT_BOUNDS] = float(bool(left_bounds(first, metrics, self.settings)))
            self.history.append(metrics)
            if self._stopped():
                self._restore(self.within)
            else:
                self.within = before
            on_iteration(iteration, metrics)
            keep(self.state())
        return self.history

    def iterate(self, prompts: Sequence[Sequence[int]], *, seed: int) -> Metrics:
        """Do one rollout and its updates; return its metrics by TRL's names.

        Where the device has too little memory the passes are halved, down to one completion each,
        and the iteration is done again from where it began. So it is where the log-probabilities
        kept from sampling prove not to be the update's: then they are computed from there on.
        """
        rows = self.processes.share(range(len(prompts)))
        own = [prompts[row] for row in rows]
        backbone = self.roles.backbone
        # 1. Sample one answer for each prompt.
        samples = sample(
            backbone,
            "policy",
            own,
            self.sampling,
            seed=seed,
            batch_size=self.generation_batch,
            rows=rows,
        )
        # Among several processes the others wait where one would begin again with less at once.
        can_halve = self.processes.count == 1
        start = self.state() if can_halve or self.keep_sampled else None
        while True:
            try:
                metrics = self._learn(own, samples, rows, seed)
                if start is None or not self.keep_sampled or self._sampling_is_exact(metrics):
                    return metrics
                # Computed from here on; what was learned from the inexact ones is taken back.
                self.resume(start)
                self.keep_sampled = False
            except Exception as error:
                largest = self.micro_batch or -(-len(prompts) // self.settings.minibatches)
                if start is None or not (can_halve and is_out_of_memory(error)) or largest == 1:
                    raise
                self.resume(start)
                self.micro_batch = largest // 2

    def _learn(
        self,
        prompts: Sequence[Sequence[int]],
        samples: Sequence[Sample],
        rows: Sequence[int],
        seed: int,
    ) -> Metrics:
        # 2. Score, reference, value and old log-probabilities, on one cached trunk a part.
        minibatches = self._minibatches(prompts, samples, rows)
        parts = [part for minibatch in minibatches for part in minibatch]
        # 3. Price the KL, and whiten the advantages over the whole rollout.
        self._credit(parts)
        _whiten(parts, self.processes)
        metrics = rollout_metrics(
            parts, self.kl.coefficient, self.settings.missing_eos_penalty, self.processes
        )
        # 4. Update the policy, then the value.
        metrics.update(self.update.run(minibatches, seed, len(self.history)))
        self.kl.update(metrics["objective/kl"], round(metrics["val/completions"]))
        return metrics

    def _sampling_is_exact(self, metrics: Metrics) -> bool:
        return metrics["val/first_ratio_error"] <= self.settings.sampled_tolerance

    def _minibatches(
        self,
        prompts: Sequence[Sequence[int]],
        samples: Sequence[Sample],
        rows: Sequence[int],
    ) -> list[Minibatch]:
        # Sequences of like lengths share a minibatch, so that little of it is padding; which are
        # together changes with every rollout, and their order with every epoch.
        lengths = [
            (len(prompt) + len(one.ids), row)
            for prompt, one, row in zip(prompts, samples, rows, strict=True)
        ]
        everyone = itertools.chain.from_iterable(self.processes.gather(lengths))
        order = [row for _, row in sorted(everyone)]
        size = -(-len(order) // self.settings.minibatches)
        own = {row: index for index, row in enumerate(rows)}
        found = []
        for start in range(0, len(order), size):
            mine = [own[row] for row in order[start : start + size] if row in own]
            step = self.micro_batch or size
            found.append(
                [
                    roll_out(
                        self.roles,
                        [prompts[index] for index in mine[at : at + step]],
                        [samples[index] for index in mine[at : at + step]],
                        self.sampling.temperature,
                        keep_sampled=self.keep_sampled,
                    )
                    # The longest first: what a part frees then holds the next one's activations.
                    for at in reversed(range(0, len(mine), step))
                ]
            )
        return found

    def _credit(self, parts: list[RolloutPart]) -> None:
        settings = self.settings
        check_scores((score for part in parts for score in part.scores.tolist()), self.processes)
        if settings.scale_rewards:
            self.scale.add(*sums_of_scores(parts, self.processes))
        for part in parts:
            scores = part.scores / self.scale.deviation if settings.scale_rewards else part.scores
            credit(part, clipped(scores, settings.reward_clip), self.kl.coefficient, settings)

    def _stopped(self) -> bool:
        return bool(self.history and self.history[-1][LEFT_BOUNDS])

    def _weights(self) -> list[Tensor]:
        return [on_cpu(weight) for weight in self.policy_weights]

    @torch.no_grad()
    def _restore(self, weights: Sequence[Tensor]) -> None:
        for weight, kept in zip(self.policy_weights, weights, strict=True):
            weight.copy_(kept)

    def state(self) -> State:
        """Return everything that `resume` needs: tensors, and what JSON holds."""
        tensors = {f"within.{i}": weight for i, weight in enumerate(self.within)}
        tensors.update(self.update.tensors())
        return tensors, {
            "history": list(self.history),
            "updates": self.update.updates,
            "kl_coefficient": self.kl.coefficient,
            "scale": [self.scale.count, self.scale.mean, self.scale.squares],
            "micro_batch": self.micro_batch,
            "keep_sampled": self.keep_sampled,
            "prompts": self.prompts,
            "made_with": self._made_with(),
        }

    def can_resume(self, state: State, prompts: Sequence[Sequence[int]]) -> bool:
        """Say whether a state is of this very run: settings, seed, weights' shapes and prompts."""
        plain = state[1]
        same_prompts = plain.get("prompts") == prompts_sha256(prompts)
        return same_prompts and plain.get("made_with") == self._made_with()

    def _made_with(self) -> dict[str, Any]:
        return {
            "settings": asdict(self.settings),
            "sampling": asdict(self.sampling),
            "seed": self.seed,
            "trained": trained_shape(self.roles.backbone, self.roles.policy),
        }

    def resume(self, state: State) -> None:
        """Go on from a state: the iterations to come are those of a run that never stopped."""
        tensors, plain = state
        self.within = [tensors[f"within.{i}"].clone() for i in range(len(self.within))]
        self.update.restore(tensors, plain["updates"])
        self.history = list(plain["history"])
        self.kl.coefficient = plain["kl_coefficient"]
        self.scale = RunningScale(*plain["scale"])
        self.micro_batch = plain["micro_batch"]
        self.keep_sampled = plain["keep_sampled"]


def prompts_sha256(prompts: Sequence[Sequence[int]]) -> str:
    """Return a hash of the prompts' ids, in their order."""
    return hashlib.sha256(json.dumps([list(prompt) for prompt in prompts]).encode()).hexdigest()


def _endless(prompts: Sequence[Sequence[int]], seed: int) -> Iterator[Sequence[int]]:
    shuffler = random.Random(seed)
    while True:
        order = list(range(len(prompts)))
        shuffler.shuffle(order)
        for index in order:
            yield prompts[index]


def _whiten(parts: Sequence[RolloutPart], processes: Processes) -> None:
    flat = [part.advantages[part.batch.mask] for part in parts]
    for part, whitened in zip(parts, whiten_together(flat, processes.sum), strict=True):
        part.advantages = part.batch.spread(whitened)
