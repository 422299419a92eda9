"""The reward model: scalar heads on a role of the backbone, and the scores that they give.

A ranking of K completions is one packed sequence: one pass serves all K·(K−1)/2 pairs (Ouyang et
al. 2022, §3.5). Several heads on one adapter, each fitted to its own bootstrap of the prompts, say
how sure the score is. With the tuning method `head` there is no adapter: the heads read the bare
model, whatever method the other roles have. Trained by `reward/reward_modeling/reward_training.py`.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch
from reward.reward_modeling.answer_states import pooled_batch, pooled_ranking
from reward.reward_modeling.calibration import outcome
from reward.reward_modeling.packing import PackedRanking, stack_rankings
from reward.reward_modeling.ranked_examples import (
    CachedExample,
    RankedExample,
    cache_states,
    cache_trunks,
    parts_at_once,
)
from reward.reward_modeling.reward_settings import HEAD, RewardSettings
from reward.training.out_of_memory import Halving
from reward.tuning.checkpoint import read_checkpoint
from storage.errors import Unavailable

__all__ = [
    "HEAD_FILE",
    "CachedExample",
    "RankedExample",
    "RewardModel",
    "RewardSettings",
    "cache_trunks",
    "pair_margins",
    "pair_outcomes",
    "score_rankings",
]

HEAD_FILE = "head.safetensors"
SMALLEST_SPREAD = 1e-6  # scores that differ by less are all alike, and are not scaled up


class RewardModel:
    """An adapter of a backbone and H scalar heads; a head's score is (raw − shift) / scale.

    No adapter (None): the heads read the bare model.
    """

    def __init__(
        self,
        backbone: Backbone,
        adapter: str | None = "reward",
        *,
        heads: int = 1,
        pooling: str = "mean",
        conservatism: float = 0.0,
    ) -> None:
        """Start at zero: the adapter is the identity and every score is 0."""
        self.backbone = backbone
        self.adapter = adapter
        self.pooling = pooling
        self.conservatism = conservatism
        if adapter is not None:
            backbone.add_adapter(adapter, scalar=True)
        self.head = nn.Linear(backbone.hidden_size, heads, device=backbone.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        # No loss of comparisons feels what is added to every score: Adam would only blow up noise.
        self.head.bias.requires_grad_(False)
        self.shift = torch.zeros(heads, device=backbone.device)
        self.scale = torch.ones(heads, device=backbone.device)

    @classmethod
    def fresh(
        cls, backbone: Backbone, settings: RewardSettings, adapter: str = "reward"
    ) -> "RewardModel":
        """Return an untrained model as the settings want it."""
        return cls(
            backbone,
            None if reads_bare_model(backbone, settings) else adapter,
            heads=settings.heads,
            pooling=settings.pooling,
            conservatism=settings.conservatism,
        )

    @property
    def heads(self) -> int:
        """Return how many heads it has."""
        return self.head.out_features

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the heads that training moves."""
        return [one for one in self.head.parameters() if one.requires_grad]

    # -- raw scores, a row a head --------------------------------------------------------------

    def raw_scores(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        """Return the heads' outputs (H, B) for each sequence's answer."""
        hidden = self.backbone.top(trunk, self.adapter)
        scores: Tensor = self.head(pooled_batch(batch, hidden, self.pooling))
        return scores.T

    def ranking_scores(self, examples: Sequence[CachedExample]) -> list[Tensor]:
        """Return the heads' outputs (H, K) for the answers of each ranking, all in one pass."""
        pooled = [one.pooled for one in examples if one.pooled is not None]
        if len(pooled) == len(examples):
            return [self.head(states).T for states in pooled]
        packed = [one.sequences for one in examples if isinstance(one.sequences, PackedRanking)]
        if len(packed) < len(examples):
            return [self._scores_alone(one) for one in examples]
        layout, trunk = stack_rankings(packed, [one.trunk for one in examples])
        hidden = self.backbone.top(trunk, self.adapter, layout)
        return [
            self.head(pooled_ranking(one, row, self.pooling)).T
            for one, row in zip(packed, hidden, strict=True)
        ]

    def _scores_alone(self, one: CachedExample) -> Tensor:
        if isinstance(one.sequences, PackedRanking):
            return self.ranking_scores([one])[0]
        return self.raw_scores(one.trunk, one.sequences)

    # -- scores --------------------------------------------------------------------------------

    @torch.no_grad()
    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        """Return the normalised conservative scores (B,): the heads' mean − conservatism · std.

        Coste et al. 2023, §3.3, take the variance there (uncertainty-weighted optimisation).
        """
        mean, deviation = self.score_with_uncertainty(trunk, batch)
        return mean - self.conservatism * deviation

    @torch.no_grad()
    def score_with_uncertainty(self, trunk: Tensor, batch: AnsweredBatch) -> tuple[Tensor, Tensor]:
        """Return the heads' mean normalised score (B,) and their standard deviation (B,)."""
        return self._ensemble(self.raw_scores(trunk, batch))

    def normalised(self, raw: Tensor) -> Tensor:
        """Return every head's normalised scores (H, N) of its raw ones."""
        return (raw - self.shift[:, None]) / self.scale[:, None]

    def _ensemble(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.normalised(raw)
        return scores.mean(0), scores.std(0, unbiased=False)

    @torch.no_grad()
    def normalise(self, raw: Tensor) -> None:
        """Give the scores of the given raw outputs (H, N) mean 0 and standard deviation 1.

        Each head is first brought to mean 0 and deviation 1 by itself: what a head adds to every
        completion says nothing about how sure the heads are.
        """
        self.shift = raw.mean(1)
        self.scale = _spread(raw)
        mean, deviation = self._ensemble(raw)
        scores = (mean - self.conservatism * deviation)[None]
        self.shift = self.shift + scores.mean() * self.scale
        self.scale = self.scale * _spread(scores)

    @torch.no_grad()
    def mean_head(self) -> tuple[Tensor, float]:
        """Return weight (hidden,) and bias of the heads' mean normalised score, as one head."""
        weight = (self.head.weight / self.scale[:, None]).mean(0)
        bias = ((self.head.bias - self.shift) / self.scale).mean()
        return weight, float(bias)

    # -- checkpoints ---------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the adapter in its own layout and the heads beside it, as safetensors."""
        if self.adapter is not None:
            self.backbone.save_adapter(self.adapter, folder)
        tensors = {
            "weight": self.head.weight,
            "bias": self.head.bias,
            "shift": self.shift,
            "scale": self.scale,
        }
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            folder / HEAD_FILE,
            # One entry: safetensors writes several in another order each time.
            metadata={"reward_model": json.dumps(self._said(), sort_keys=True)},
        )

    def _said(self) -> dict[str, Any]:
        said = {"pooling": self.pooling, "conservatism": self.conservatism}
        return said if self.adapter is not None else {**said, "tuning": HEAD}

    @classmethod
    def load(cls, backbone: Backbone, folder: Path, adapter: str = "reward") -> "RewardModel":
        """Read what `save` wrote; raise `Unavailable` naming the file where it cannot be used."""
        file = folder / HEAD_FILE
        try:
            said = _what_it_says(file)
            with safe_open(file, framework="pt") as opened:
                state = {name: opened.get_tensor(name) for name in ("weight", "bias")}
                # One head of an older version has a number where there is a row now.
                norm = {n: opened.get_tensor(n).float().reshape(-1) for n in ("shift", "scale")}
            model = cls(
                backbone,
                None if heads_alone(folder) else adapter,
                heads=len(state["bias"]),
                pooling=said.get("pooling", "mean"),
                conservatism=float(said.get("conservatism", 0.0)),
            )
            model._take(state, norm)
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable(f"The checkpoint file {file} cannot be read: {error}.") from error
        if model.adapter is not None:
            backbone.load_adapter(model.adapter, folder)
        return model

    def _take(self, state: dict[str, Any], norm: dict[str, Tensor]) -> None:
        self.head.load_state_dict(state)
        self.shift, self.scale = (norm[n].to(self.backbone.device) for n in ("shift", "scale"))


def reads_bare_model(backbone: Backbone, settings: RewardSettings) -> bool:
    """Say whether a reward model of these settings is heads alone."""
    return HEAD in (settings.tuning, backbone.tuning)


def heads_alone(folder: Path) -> bool:
    """Say whether the reward model in a folder reads the bare model, so that any backbone serves.

    Raises `Unavailable` naming the file that is missing or cannot be used.
    """
    file = folder / HEAD_FILE
    try:
        said = _what_it_says(file)
    except Exception as error:
        raise Unavailable(f"The checkpoint file {file} cannot be read: {error}.") from error
    # An older version kept an adapter without weights beside such heads.
    return bool(said.get("tuning") == HEAD or read_checkpoint(folder).tuning == HEAD)


def _what_it_says(file: Path) -> dict[str, Any]:
    with safe_open(file, framework="pt") as opened:
        said: dict[str, Any] = dict(opened.metadata() or {})
    # An older version has its entries beside each other.
    return said | json.loads(said.pop("reward_model", "{}"))


def cache_examples(
    backbone: Backbone,
    examples: Sequence[RankedExample],
    settings: RewardSettings,
    on_example: Callable[[int], None] = lambda done: None,
) -> list[CachedExample]:
    """Run over every example what is frozen in a reward model of these settings, once.

    `on_example` hears how many are done.
    """
    if reads_bare_model(backbone, settings):
        return cache_states(backbone, examples, settings.pooling, on_example)
    return cache_trunks(backbone, examples, on_example)


def _spread(values: Tensor) -> Tensor:
    """Return the standard deviation of each row (R, N): (R,), 1 where all values are alike."""
    if values.shape[1] < 2:
        return torch.ones(len(values), device=values.device)
    spread = values.std(1)
    return torch.where(spread > SMALLEST_SPREAD, spread, torch.ones_like(spread))


@torch.no_grad()
def score_rankings(
    model: RewardModel, examples: Sequence[CachedExample], size: int = 8
) -> list[Tensor]:
    """Return the heads' mean raw scores (K,) of each ranking, `size` rankings at a time."""
    return [scores.mean(0) for scores in head_scores(model, examples, size)]


@torch.no_grad()
def head_scores(
    model: RewardModel, examples: Sequence[CachedExample], size: int = 8
) -> list[Tensor]:
    """Return every head's raw scores (H, K) of each ranking, `size` rankings at a time."""
    halving = Halving(size, "one ranking")
    scores: list[Tensor] = []
    while len(scores) < len(examples):
        left = examples[len(scores) :]
        scores += halving.run(partial(_first_scores, model, left))
    return scores


def _first_scores(
    model: RewardModel, examples: Sequence[CachedExample], count: int
) -> list[Tensor]:
    first = parts_at_once(examples[:count], count, RewardSettings.tokens_at_once)[0]
    return model.ranking_scores([examples[place] for place in first])


def pair_margins(model: RewardModel, examples: Sequence[CachedExample]) -> list[list[float]]:
    """Return, for each ranking with pairs, Δr of every pair: the better one's raw score less the
    worse one's, in nats."""
    judged = [example for example in examples if len(example.pairs)]
    return [
        (scores[example.pairs[:, 0]] - scores[example.pairs[:, 1]]).tolist()
        for scores, example in zip(score_rankings(model, judged), judged, strict=True)
    ]


def pair_outcomes(model: RewardModel, examples: Sequence[CachedExample]) -> list[list[float]]:
    """Return, for each ranking with pairs, 1.0 (right), 0.5 (scores tie) or 0.0 for every pair."""
    return [[outcome(margin) for margin in margins] for margins in pair_margins(model, examples)]
