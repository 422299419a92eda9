"""Fit a reward model to rankings: 1 optimiser step = gradients of some rankings, K-wise.

The trunk's activations are computed once and reused by every pass and fold. Every prompt counts
once: its rankings share its weight, each scaled by its annotator's reliability. The reliability is
a weight and not the probability that the label is right, since a reliability below one half would
turn labels round there, and since every loss here, listwise ones too, can be weighted; a known rate
of wrong labels is what `label_smoothing` is for. A fit that is cut off goes on from its progress.
On several processes each takes its share of a step's rankings.
"""

import hashlib
import itertools
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from reward.language_models.trained_shape import trained_shape
from reward.reward_modeling.ranked_examples import CachedExample, RankedExample, parts_at_once
from reward.reward_modeling.ranking_losses import Comparisons, comparisons_of, ranking_loss
from reward.reward_modeling.reward_model import RewardModel
from reward.reward_modeling.reward_settings import RewardSettings
from reward.reward_modeling.step_metrics import SUMMED, Sums, step_metrics, sums_of
from reward.training.optimizer_state import optimizer_tensors, restore_optimizer
from reward.training.out_of_memory import Halving
from reward.training.processes import Processes
from reward.training.progress_checkpoint import check_same_progress, load_progress, save_progress
from storage.errors import BadInput

RECENT = 5  # optimiser steps that the reported loss is the mean of


@dataclass(frozen=True)
class FitProgress:
    """Where the progress of one fit is kept: the name `name` under the folder `uri` of `home`."""

    home: Path
    uri: str
    name: str


def train_reward_model(
    model: RewardModel,
    examples: Sequence[CachedExample],
    settings: RewardSettings,
    *,
    seed: int,
    on_step: Callable[[int, int, Mapping[str, float]], None] = lambda step, steps, metrics: None,
    progress: FitProgress | None = None,
    processes: Processes | None = None,
) -> float:
    """Fit the adapter and the heads; return the mean loss of the last steps (NaN without any).

    `on_step` hears (step, steps, metrics as `step_metrics` names them). With `progress`, a fit that
    was cut off goes on at the step that was saved, and ends with the same weights; no gradient is
    left on them, however the fit ends. Raises `BadInput` where loss or gradient is not a finite
    number, `Unavailable` where a single ranking does not fit into memory or not all processes find
    the same progress.
    """
    useful = [example for example in examples if teaches(example.example, settings)]
    if not useful:
        return math.nan
    with model.backbone.training(model.adapter) as weights:
        fit = _Fit(model, weights, useful, settings, seed, processes or Processes())
        done = fit.restore(progress)
        batches = itertools.islice(_batches(len(useful), settings, seed), done, fit.steps)
        try:
            for step, chosen in enumerate(batches, start=done + 1):
                metrics = fit.step(step, chosen)
                fit.save_if_due(progress, step)
                on_step(step, fit.steps, metrics)
        finally:
            # The role outlives the fit, and its gradients would hold as much memory as it does.
            fit.optimizer.zero_grad(set_to_none=True)
    return sum(fit.recent) / len(fit.recent)


def planned_steps(rankings: int, settings: RewardSettings) -> int:
    """Return how many optimiser steps a fit on so many rankings takes."""
    return min(settings.max_steps, settings.epochs * -(-rankings // settings.rankings_per_step))


def teaches(example: RankedExample, settings: RewardSettings) -> bool:
    """Say whether a ranking compares anything: one of ties alone does with `ties = half` only."""
    return len(example.pairs) > 0 or (settings.ties == "half" and len(example.ranks) > 1)


def check_examples(examples: Sequence[RankedExample], settings: RewardSettings) -> None:
    """Raise `BadInput` saying why nothing can be learned from these rankings, if so."""
    if not examples:
        raise BadInput("There is nothing to learn from: no ranking on training prompts fits.")
    pairs = [(example, *pair) for example in examples for pair in example.pairs]
    if not pairs:
        raise BadInput(
            "There is nothing to learn from: every ranking on training prompts is all ties."
        )
    if len(pairs) < settings.min_comparisons:
        raise BadInput(
            f"There are {len(pairs)} comparisons on training prompts, fewer than the "
            f"{settings.min_comparisons} of training.reward.min_comparisons: judge more tasks."
        )
    if settings.loss == "score_difference" and not any(
        bool(_said(one, settings, torch.device("cpu")).gaps.any()) for one in examples
    ):
        raise BadInput(
            "The loss score_difference has nothing to learn from: in no comparison did the better "
            "completion score more. Choose another training.reward.loss."
        )
    if all(one.answers[better] == one.answers[worse] for one, better, worse in pairs):
        raise BadInput(
            "There is one class only: in every comparison both completions are the same; raise "
            "training.sampling.temperature so that they differ."
        )


def rankings_sha256(examples: Sequence[RankedExample]) -> str:
    """Return a hash (64 hexadecimal digits) of all that a fit reads of rankings, in their order.

    Those are ids, ranks, groups, weights, strengths and scores; not what a ranking is counted
    under in reports.
    """
    digest = hashlib.sha256()
    # One at a time: the ids of all rankings as one text would take more memory than they do.
    for one in examples:
        read = [one.prompt, one.answers, one.ranks, one.group, one.weight, one.strength, one.scores]
        digest.update(json.dumps(read).encode() + b"\n")
    return digest.hexdigest()


def bootstrap_counts(seed: int, group: int, heads: int) -> list[int]:
    """Return how often a prompt is drawn into each head's bootstrap: always once for one head.

    Poisson with mean 1, the limit of drawing n of n (Oza and Russell 2001; for heads on a shared
    body Osband et al. 2016, §4). It depends on the seed and the prompt alone.
    """
    if heads == 1:
        return [1]
    counts = numpy.random.default_rng([seed % 2**63, group % 2**63]).poisson(1.0, heads)
    return [int(count) for count in counts]


def ranking_weights(examples: Sequence[CachedExample], heads: int, seed: int) -> Tensor:
    """Return what each ranking counts for each head (H, N), 1 on average over the rankings.

    A head whose bootstrap drew nothing takes every ranking.
    """
    of_prompt = Counter(example.group for example in examples)
    shares = torch.tensor([one.example.weight / of_prompt[one.group] for one in examples])
    drawn = torch.tensor([bootstrap_counts(seed, one.group, heads) for one in examples]).T
    weights = shares * drawn
    weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, shares)
    return weights / weights.mean(1, keepdim=True)


class _Fit:
    """The state of one fit: what is trained, the optimizer, and the losses of the last steps."""

    def __init__(
        self,
        model: RewardModel,
        weights: Sequence[nn.Parameter],
        examples: Sequence[CachedExample],
        settings: RewardSettings,
        seed: int,
        processes: Processes,
    ) -> None:
        self.model = model
        self.examples = examples
        self.settings = settings
        self.processes = processes
        self.steps = planned_steps(len(examples), settings)
        self.parameters = [*weights, *model.head_parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        device = model.backbone.device
        self.weights = ranking_weights(examples, model.heads, seed).to(device)
        self.said = [_said(example.example, settings, device) for example in examples]
        self.micro = Halving(settings.rankings_per_step, "one ranking")
        self.recent: list[float] = []
        self.same_fit = {
            "settings": asdict(settings),
            "seed": seed,
            "rankings": rankings_sha256([example.example for example in examples]),
            "trained": trained_shape(model.backbone, model.adapter),
        }
        self.saved_at, self.saving = time.monotonic(), 0.0

    def step(self, step: int, chosen: Sequence[int]) -> dict[str, float]:
        """Make one optimizer step on the chosen rankings; return its metrics."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(
                step, self.steps, settings.warmup_steps
            )
        mine = self.processes.share(chosen)
        sums = self.micro.run(lambda size: self._gradients(mine, size, len(chosen)))
        metrics = step_metrics(self.processes.sum(*sums))
        loss = metrics["loss"]
        self.processes.sum_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, settings.max_grad_norm)
        if not (math.isfinite(loss) and torch.isfinite(norm)):
            raise BadInput(
                "The reward model's loss or gradient is not a finite number; lower "
                "training.reward.learning_rate."
            )
        self.optimizer.step()
        self.recent = [*self.recent, loss][-RECENT:]
        return metrics

    def _gradients(self, chosen: Sequence[int], size: int, whole: int) -> Sums:
        """Add up the gradients of the chosen rankings, at most `size` at a time; return their sums.

        `whole` is how many rankings the step has, so parts and processes add up to its mean.
        """
        self.optimizer.zero_grad(set_to_none=True)
        settings = self.settings
        total = [0.0] * SUMMED
        found = [self.examples[index] for index in chosen]
        for places in parts_at_once(found, size, settings.tokens_at_once):
            part = [chosen[place] for place in places]
            scores = self.model.ranking_scores([found[place] for place in places])
            losses = torch.stack(
                [
                    ranking_loss(s, self.said[index], settings.loss, settings.margin)
                    for s, index in zip(scores, part, strict=True)
                ],
                dim=1,
            )
            weighted = losses * self.weights[:, part]
            (weighted.mean(0).sum() / whole).backward()
            pairs = [found[place].pairs for place in places]
            total = [a + b for a, b in zip(total, sums_of(losses, scores, pairs), strict=True)]
        return total

    def restore(self, progress: FitProgress | None) -> int:
        """Take up what was saved of this very fit; return how many steps it had made.

        Raises `Unavailable` where that is not the same in all processes.
        """
        if progress is None:
            return 0
        found = load_progress(progress.home, progress.uri, progress.name)
        if found and found[1].get("fit") != self.same_fit:
            found = None
        check_same_progress(self.processes, int(found[1]["step"]) if found else 0)
        if found is None:
            return 0
        tensors, state = found
        for index, parameter in enumerate(self.parameters):
            parameter.data.copy_(tensors[f"weight.{index}"])
        restore_optimizer(self.optimizer, tensors, "optimizer")
        torch.set_rng_state(tensors["random"])
        self.recent = list(state["recent"])
        return int(state["step"])

    def save_if_due(self, progress: FitProgress | None, step: int) -> None:
        """Save how far the fit is, at its end and at every so many seconds."""
        if progress is None or not self.processes.is_first:
            return
        began, wait = time.monotonic(), self.settings.progress_seconds
        # Weights that take long to write are written less often: a tenth of the time at most.
        due = wait == 0.0 or began - self.saved_at >= max(wait, 10.0 * self.saving)
        if not due and step < self.steps:
            return
        tensors = {f"weight.{index}": p.data for index, p in enumerate(self.parameters)}
        tensors |= optimizer_tensors(self.optimizer, "optimizer")
        tensors["random"] = torch.get_rng_state()
        state: dict[str, Any] = {"fit": self.same_fit, "step": step, "recent": self.recent}
        save_progress(progress.home, progress.uri, progress.name, tensors, state)
        self.saved_at = time.monotonic()
        self.saving = self.saved_at - began


def _said(example: RankedExample, settings: RewardSettings, device: torch.device) -> Comparisons:
    return comparisons_of(
        example.ranks,
        ties=settings.ties,
        smoothing=settings.label_smoothing,
        strength=example.strength,
        scores=example.scores,
        device=device,
    )


def _schedule(step: int, steps: int, warmup: int) -> float:
    rising = min(1.0, step / max(1, warmup))
    return rising * max(0.1, 1.0 - (step - 1) / max(1, steps))


def _batches(count: int, settings: RewardSettings, seed: int) -> Iterator[list[int]]:
    """Yield the rankings of each optimiser step; the order is a function of the seed alone."""
    shuffler = random.Random(seed)
    size = settings.rankings_per_step
    for _ in range(settings.epochs):
        order = list(range(count))
        shuffler.shuffle(order)
        for start in range(0, count, size):
            yield order[start : start + size]
