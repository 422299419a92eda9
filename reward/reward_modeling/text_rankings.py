"""Rankings as text, and the comparisons in them as rows of a feature matrix."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from transformers import PreTrainedTokenizerBase

from labeling.judging.rankings import pairs_of
from reward.generation.conversations import Messages
from reward.generation.prompt_text import PromptReader
from reward.reward_modeling.ranked_examples import RankedExample
from storage.errors import BadInput


@dataclass(frozen=True)
class TextRanking:
    """One ranking: the prompt, K completions as text, and their ranks (1 is best)."""

    prompt: str | Messages
    completions: list[str]
    ranks: list[int]
    group: int  #: the prompt's id: rankings of one prompt never stand on both sides of a fold
    weight: float = 1.0  #: the annotator's reliability, above 0 to 1: how much the ranking counts

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Return every (better, worse) pair of positions, without ties."""
        return pairs_of(self.ranks)


def as_text(
    examples: Sequence[RankedExample], tokenizer: PreTrainedTokenizerBase
) -> list[TextRanking]:
    """Return rankings of token ids as rankings of text: the last question and the answers."""
    reader = PromptReader(tokenizer)
    return [
        TextRanking(
            prompt=reader.question(one.prompt),
            completions=[reader.answer(ids) for ids in one.answers],
            ranks=one.ranks,
            group=one.group,
            weight=one.weight,
        )
        for one in examples
    ]


@dataclass(frozen=True)
class Comparisons:
    """P pairs as rows of a feature matrix: better, worse, weight and group, each (P,)."""

    better: numpy.ndarray
    worse: numpy.ndarray
    weights: numpy.ndarray
    groups: numpy.ndarray

    def differences(self, points: numpy.ndarray) -> numpy.ndarray:
        """Return better less worse (P, R) of points (N, R)."""
        found: numpy.ndarray = points[self.better] - points[self.worse]
        return found


def comparisons_of(rankings: Sequence[TextRanking]) -> Comparisons:
    """Return the pairs of rankings whose completions lie in rows one after another.

    Every prompt counts once: its rankings share its weight, and so do the pairs of a ranking
    (Ouyang et al. 2022, §3.5). Reliabilities are relative: their mean over the rankings is brought
    to 1. Rankings of ties alone count nowhere. Raises `BadInput` where there is no pair.
    """
    useful = [one for one in rankings if one.pairs]
    if not useful:
        raise BadInput("There is nothing to learn from: no ranking has a pair that is not a tie.")
    of_prompt = Counter(one.group for one in useful)
    # A ridge penalty would weigh more where all annotators are less reliable.
    mean = sum(one.weight for one in useful) / len(useful) or 1.0
    rows: list[tuple[int, int, float, int]] = []
    first = 0
    for one in rankings:
        if one.pairs:
            share = one.weight / mean / of_prompt[one.group] / len(one.pairs)
            rows += [(first + b, first + w, share, one.group) for b, w in one.pairs]
        first += len(one.completions)
    better, worse, weights, groups = zip(*rows, strict=True)
    return Comparisons(
        numpy.array(better), numpy.array(worse), numpy.array(weights), numpy.array(groups)
    )
