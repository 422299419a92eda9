"""The reward model: a LoRA adapter and a scalar head on the backbone, trained on rankings.

A ranking of K completions is one example: K forward passes serve all K·(K−1)/2 pairs (Ouyang et al.
2022, §3.5), in one packed sequence, and each ranking counts once however many pairs it has. Tied
pairs teach nothing and are left out. The trunk's activations are computed once and reused by every
pass and fold.
Leaves out: margins, listwise losses, several heads. Called by `reward/steps/reward.py`.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from labeling.rankings import pairs_of
from reward.backbone import Backbone
from reward.packing import PackedRanking, pack_ranking, stack_rankings
from reward.padding import AnsweredBatch, answered_batch
from storage.errors import Unavailable

HEAD_FILE = "head.safetensors"


@dataclass(frozen=True)
class RewardSettings:
    """Say how the reward model is trained."""

    learning_rate: float = 5e-4  #: AdamW's, after warm-up; falls linearly to a tenth
    epochs: int = 4  #: passes over the rankings, at most
    max_steps: int = 50  #: optimiser steps, at most: many rankings want fewer passes
    newest_rankings: int = 400  #: rankings of each split that are used, the newest
    rankings_per_step: int = 4  #: rankings whose gradients make one optimiser step
    warmup_steps: int = 4  #: optimiser steps over which the learning rate rises
    weight_decay: float = 0.01  #: AdamW's, on adapter and head
    max_grad_norm: float = 1.0  #: the gradient is scaled down to this norm
    folds: int = 2  #: parts for the cross-fitted accuracy while rankings are few
    holdout_rankings: int = 60  #: with 5 times as many rankings, one held-out fifth replaces folds


@dataclass(frozen=True)
class RankedExample:
    """One ranking: the prompt's ids, the K answers' ids, and their ranks (1 is best)."""

    prompt: list[int]
    answers: list[list[int]]
    ranks: list[int]
    group: int  #: the prompt's id: rankings of one prompt never stand on both sides of a fold


@dataclass(frozen=True)
class CachedExample:
    """A ranked example with its trunk activations, packed where the backbone allows it."""

    sequences: PackedRanking | AnsweredBatch
    trunk: Tensor
    pairs: Tensor  #: (P, 2) positions, the better one first
    group: int

    @property
    def batch(self) -> AnsweredBatch:
        """Return the sequences of a ranking that is not packed."""
        assert isinstance(self.sequences, AnsweredBatch)
        return self.sequences


class RewardModel:
    """An adapter of a backbone and its scalar head; scores are (score − shift) / scale."""

    def __init__(self, backbone: Backbone, adapter: str = "reward") -> None:
        """Start at zero: the adapter is the identity and every score is 0."""
        self.backbone = backbone
        self.adapter = adapter
        backbone.add_adapter(adapter)
        self.head = nn.Linear(backbone.hidden_size, 1, device=backbone.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.shift = 0.0
        self.scale = 1.0

    def raw_scores(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        """Return the head's output (B,) for each sequence, mean-pooled over the answer's tokens."""
        hidden = self.backbone.top(trunk, self.adapter)
        rows = torch.arange(len(batch.ids), device=hidden.device)[:, None].expand_as(batch.columns)
        tokens = self.head(hidden[rows, batch.columns + 1].float())[:, :, 0]
        return (tokens * batch.mask).sum(1) / batch.mask.sum(1)

    def ranking_scores(self, examples: Sequence[CachedExample]) -> list[Tensor]:
        """Return the head's output (K,) for the answers of each ranking, all in one pass."""
        packed = [one.sequences for one in examples if isinstance(one.sequences, PackedRanking)]
        if len(packed) < len(examples):
            return [self.raw_scores(one.trunk, one.batch) for one in examples]
        layout, trunk = stack_rankings(packed, [one.trunk for one in examples])
        values = self.head(self.backbone.top(trunk, self.adapter, layout).float())[..., 0]
        return [
            one.mean_by_answer(row[: len(one.owner)])
            for one, row in zip(packed, values, strict=True)
        ]

    @torch.no_grad()
    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        """Return the normalised scores (B,)."""
        return (self.raw_scores(trunk, batch) - self.shift) / self.scale

    def normalise(self, scores: Tensor) -> None:
        """Make the given raw scores (N,) have mean 0 and standard deviation 1."""
        self.shift = float(scores.mean())
        self.scale = max(float(scores.std()), 1e-6)

    def save(self, folder: Path) -> None:
        """Write the adapter in peft's layout and the head beside it, as safetensors."""
        self.backbone.save_adapter(self.adapter, folder)
        save_file(
            {
                "weight": self.head.weight.detach().cpu().contiguous(),
                "bias": self.head.bias.detach().cpu().contiguous(),
                "shift": torch.tensor(self.shift, dtype=torch.float64),
                "scale": torch.tensor(self.scale, dtype=torch.float64),
            },
            folder / HEAD_FILE,
        )

    @classmethod
    def load(cls, backbone: Backbone, folder: Path, adapter: str = "reward") -> "RewardModel":
        """Read what `save` wrote; raise `Unavailable` naming the file where it cannot be used."""
        model = cls(backbone, adapter)
        backbone.load_adapter(adapter, folder)
        file = folder / HEAD_FILE
        try:
            state = load_file(file)
            model.head.weight.data.copy_(state["weight"])
            model.head.bias.data.copy_(state["bias"])
            model.shift, model.scale = float(state["shift"]), float(state["scale"])
        except Exception as error:
            raise Unavailable(f"The checkpoint file {file} cannot be read: {error}.") from error
        return model


def cache_trunks(
    backbone: Backbone, examples: Sequence[RankedExample], on_example: Callable[[int], None]
) -> list[CachedExample]:
    """Run the frozen trunk once over every example; `on_example` hears how many are done."""
    cached = []
    for done, example in enumerate(examples, start=1):
        pairs = torch.tensor(pairs_of(example.ranks), device=backbone.device).reshape(-1, 2)
        sequences, trunk = _lay_out(backbone, example)
        cached.append(CachedExample(sequences, trunk, pairs, example.group))
        on_example(done)
    return cached


def _lay_out(
    backbone: Backbone, example: RankedExample
) -> tuple[PackedRanking | AnsweredBatch, Tensor]:
    if backbone.runs_by_layer:
        packed = pack_ranking(example.prompt, example.answers, backbone.device)
        return packed, backbone.trunk(packed.ids, packed.layout)
    prompts = [example.prompt] * len(example.answers)
    batch = answered_batch(prompts, example.answers, backbone.device)
    return batch, backbone.trunk(batch.ids)


def ranking_loss(scores: Tensor, pairs: Tensor) -> Tensor:
    """Return the mean of −log σ(r_chosen − r_rejected) over a ranking's pairs: a scalar.

    Ouyang et al. 2022, eq. 1. `scores` is (K,), `pairs` (P, 2) with the better position first.
    """
    return -F.logsigmoid(scores[pairs[:, 0]] - scores[pairs[:, 1]]).mean()


def train_reward_model(
    model: RewardModel,
    examples: Sequence[CachedExample],
    settings: RewardSettings,
    *,
    seed: int,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> None:
    """Fit the adapter and the head; `on_step` hears (step, steps, mean loss of its rankings)."""
    useful = [example for example in examples if len(example.pairs)]
    steps = planned_steps(len(useful), settings)
    with model.backbone.training(model.adapter) as weights:
        parameters = [*weights, *model.head.parameters()]
        optimizer = torch.optim.AdamW(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        batches = itertools.islice(_batches(useful, settings, seed), steps)
        for step, rankings in enumerate(batches, start=1):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step, steps, settings.warmup_steps)
            scores = model.ranking_scores(rankings)
            losses = [ranking_loss(s, r.pairs) for s, r in zip(scores, rankings, strict=True)]
            loss = torch.stack(losses).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            on_step(step, steps, loss.item())


def planned_steps(rankings: int, settings: RewardSettings) -> int:
    """Return how many optimiser steps a fit on so many rankings takes."""
    return min(settings.max_steps, settings.epochs * -(-rankings // settings.rankings_per_step))


def _schedule(step: int, steps: int, warmup: int) -> float:
    rising = min(1.0, step / max(1, warmup))
    return rising * max(0.1, 1.0 - (step - 1) / max(1, steps))


def _batches(
    examples: Sequence[CachedExample], settings: RewardSettings, seed: int
) -> Iterator[list[CachedExample]]:
    shuffler = random.Random(seed)
    size = settings.rankings_per_step
    for _ in range(settings.epochs):
        order = list(range(len(examples)))
        shuffler.shuffle(order)
        for start in range(0, len(order), size):
            yield [examples[index] for index in order[start : start + size]]


@torch.no_grad()
def pair_outcomes(model: RewardModel, examples: Sequence[CachedExample]) -> list[list[float]]:
    """Return, for each ranking with pairs, 1.0 (right), 0.5 (scores tie) or 0.0 for every pair."""
    outcomes = []
    judged = [example for example in examples if len(example.pairs)]
    for scores, example in zip(score_rankings(model, judged), judged, strict=True):
        margin = scores[example.pairs[:, 0]] - scores[example.pairs[:, 1]]
        outcomes.append((0.5 * (margin.sign() + 1.0)).tolist())
    return outcomes


@torch.no_grad()
def score_rankings(
    model: RewardModel, examples: Sequence[CachedExample], size: int = 8
) -> list[Tensor]:
    """Return the raw scores (K,) of each ranking, `size` rankings at a time."""
    scores: list[Tensor] = []
    for start in range(0, len(examples), size):
        scores += model.ranking_scores(examples[start : start + size])
    return scores
