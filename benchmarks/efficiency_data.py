"""What a reward model is to learn from: simulated preferences on real completions, and people's."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy

from benchmarks.simulated_rankings import AnsweredPrompt, judged_ranks, read_completions, true_ranks
from labeling.judging.rankings import dense_ranks, pairs_of
from labeling.simulated.preferences import Messages, load_preference

NOISE = 0.2  # share of pair labels that a simulated annotator gets wrong


@dataclass(frozen=True)
class Ranked:
    """A prompt, K completions and their ranks; `ended` says which the policy ended by itself."""

    messages: Messages
    completions: list[str]
    ended: list[bool]
    ranks: list[int]
    group: int


@dataclass(frozen=True)
class Dataset:
    """Rankings to learn from, in the order of one seed, and rankings to be tested on."""

    name: str
    train: list[Ranked]
    test: list[Ranked]


def simulated(work: Path, preference: str, seed: int) -> Dataset:
    """Rank the completions in `work`: training prompts with noise, held-out ones without."""
    score = load_preference(preference)
    answered = read_completions(work)
    kept = [one for one in answered if not one.heldout]
    order = numpy.random.default_rng(seed).permutation(len(kept))
    train = [_ranked(kept[i], judged_ranks(kept[i], score, NOISE, seed)) for i in order]
    test = [_ranked(one, true_ranks(one, score)) for one in answered if one.heldout]
    return Dataset(preference, _with_pairs(train), _with_pairs(test))


def helpful_pairs(file: Path, seed: int) -> Dataset:
    """Read HH-RLHF pairs (`prompt` messages, `chosen`, `rejected`, `split`)."""
    rows = _rows(file)
    found = [
        Ranked(row["prompt"], [row["chosen"], row["rejected"]], [True, True], [1, 2], number)
        for number, row in enumerate(rows)
    ]
    train = [one for one, row in zip(found, rows, strict=True) if row["split"] == "train"]
    test = [one for one, row in zip(found, rows, strict=True) if row["split"] != "train"]
    return _shuffled(Dataset("HH helpful", train, test), seed)


def assistant_rankings(file: Path, seed: int) -> Dataset:
    """Read Open-Assistant's ranked sets (`prompt`, `options` of `text` and `rank`, 0 best)."""
    found, groups = [], {}
    for row in _rows(file):
        group = groups.setdefault(row["tree"], len(groups))
        texts = [option["text"] for option in row["options"]]
        ranks = dense_ranks([option["rank"] for option in row["options"]])
        said = [{"role": "user", "content": row["prompt"]}]
        found.append(Ranked(said, texts, [True] * len(texts), ranks, group))
    # Whole conversation trees, so that no prompt stands on both sides.
    train = [one for one in found if one.group % 3]
    test = [one for one in found if not one.group % 3]
    return _shuffled(Dataset("Open-Assistant", train, test), seed)


def _rows(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt") as stream:
        return [json.loads(line) for line in stream]


def _ranked(prompt: AnsweredPrompt, ranks: list[int]) -> Ranked:
    return Ranked(prompt.messages, prompt.completions, prompt.ended, ranks, prompt.group)


def _with_pairs(rankings: Sequence[Ranked]) -> list[Ranked]:
    return [one for one in rankings if pairs_of(one.ranks)]


def _shuffled(data: Dataset, seed: int) -> Dataset:
    order = numpy.random.default_rng(seed).permutation(len(data.train))
    return replace(data, train=_with_pairs([data.train[i] for i in order]))
