"""Rankings as a reward model reads them: token ids, and what the frozen model makes of them.

That is the trunk's activations or, where nothing but scalar heads is trained, one pooled state an
answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from labeling.judging.rankings import pairs_of
from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch, answered_batch
from reward.reward_modeling.answer_states import pooled_batch, pooled_ranking
from reward.reward_modeling.packing import PackedRanking, pack_ranking

# A packed ranking attends over all of its answers at once, which costs the square of its length;
# past this the prompt that is read K times is the smaller waste.
LONGEST_PACKED = 1024


@dataclass(frozen=True)
class RankedExample:
    """One ranking: the prompt's ids, the K answers' ids, and their ranks (1 is best)."""

    prompt: list[int]
    answers: list[list[int]]
    ranks: list[int]
    group: int  #: the prompt's id: rankings of one prompt never stand on both sides of a fold
    weight: float = 1.0  #: the annotator's reliability, above 0 to 1: how much the ranking counts
    strength: float | None = None  #: with K = 2: by how much the better is preferred, 0 to 3
    scores: list[float] | None = None  #: what the annotator scored the answers, on any scale
    subset: str = ""  #: what it is counted under in the accuracy by subset, such as its source
    judgment_id: int = 0  #: the judgment that it is; 0 for one that is none

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Return every (better, worse) pair of positions, without ties."""
        return pairs_of(self.ranks)


@dataclass(frozen=True)
class CachedExample:
    """A ranked example with its trunk activations, packed where the backbone allows it."""

    sequences: PackedRanking | AnsweredBatch
    trunk: Tensor
    pairs: Tensor  #: (P, 2) positions, the better one first
    example: RankedExample
    pooled: Tensor | None = None  #: (K, H) the bare model's pooled states; the trunk is empty then

    @property
    def group(self) -> int:
        """Return the prompt's id."""
        return self.example.group

    @property
    def subset(self) -> str:
        """Return what the ranking is counted under."""
        return self.example.subset

    @property
    def tokens(self) -> int:
        """Return how many positions a pass over the ranking has, padding counted in."""
        if self.pooled is not None:
            return len(self.pooled)
        return self.trunk.shape[0] * self.trunk.shape[1]

    @property
    def batch(self) -> AnsweredBatch:
        """Return the sequences of a ranking that is not packed."""
        assert isinstance(self.sequences, AnsweredBatch)
        return self.sequences


def cache_trunks(
    backbone: Backbone,
    examples: Sequence[RankedExample],
    on_example: Callable[[int], None] = lambda done: None,
) -> list[CachedExample]:
    """Run the frozen trunk once over every example; `on_example` hears how many are done."""
    cached = []
    for done, example in enumerate(examples, start=1):
        sequences, trunk = _lay_out(backbone, example)
        cached.append(CachedExample(sequences, trunk, _pairs(example, backbone.device), example))
        on_example(done)
    return cached


@torch.no_grad()
def cache_states(
    backbone: Backbone,
    examples: Sequence[RankedExample],
    pooling: str,
    on_example: Callable[[int], None] = lambda done: None,
) -> list[CachedExample]:
    """Run the bare model once over every example, for heads that read nothing else.

    What is kept is one state an answer, by `pooling` (`mean` or `last`). `on_example` hears how
    many are done.
    """
    cached = []
    for done, example in enumerate(examples, start=1):
        sequences, trunk = _lay_out(backbone, example)
        if isinstance(sequences, PackedRanking):
            (hidden,) = backbone.top(trunk, None, sequences.layout)
            pooled = pooled_ranking(sequences, hidden, pooling)
        else:
            pooled = pooled_batch(sequences, backbone.top(trunk, None), pooling)
        pairs = _pairs(example, backbone.device)
        cached.append(CachedExample(sequences, trunk[:, :0], pairs, example, pooled))
        on_example(done)
    return cached


def ranked_anew(cached: CachedExample, example: RankedExample) -> CachedExample:
    """Return what `cache_trunks` or `cache_states` would for the same texts under other ranks."""
    return replace(cached, pairs=_pairs(example, cached.pairs.device), example=example)


def parts_at_once(examples: Sequence[CachedExample], rankings: int, tokens: int) -> list[list[int]]:
    """Cut examples, by their places, into parts of at most so many rankings and padded tokens.

    A ranking that is longer than `tokens` is a part by itself.
    """
    parts: list[list[int]] = []
    widest = 0
    for place, example in enumerate(examples):
        widest = max(widest, example.tokens)
        full = parts and (len(parts[-1]) == rankings or (len(parts[-1]) + 1) * widest > tokens)
        if not parts or full:
            parts.append([])
            widest = example.tokens
        parts[-1].append(place)
    return parts


def _pairs(example: RankedExample, device: torch.device) -> Tensor:
    return torch.tensor(example.pairs, device=device, dtype=torch.long).reshape(-1, 2)


def _lay_out(
    backbone: Backbone, example: RankedExample
) -> tuple[PackedRanking | AnsweredBatch, Tensor]:
    tokens = len(example.prompt) + sum(map(len, example.answers))
    if backbone.packs and tokens <= LONGEST_PACKED:
        packed = pack_ranking(example.prompt, example.answers, backbone.device)
        return packed, backbone.trunk(packed.ids, packed.layout)
    prompts = [example.prompt] * len(example.answers)
    batch = answered_batch(prompts, example.answers, backbone.device)
    return batch, backbone.trunk(batch.ids)
