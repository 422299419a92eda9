"""Comparisons as token ids: what DPO learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from labeling.judging.rankings import pairs_of


class Ranked(Protocol):
    """A ranking as token ids, such as `RankedExample`."""

    @property
    def prompt(self) -> list[int]:
        """The prompt's ids."""

    @property
    def answers(self) -> list[list[int]]:
        """The ids of each answer."""

    @property
    def ranks(self) -> list[int]:
        """The rank of each answer; 1 is best."""


@dataclass(frozen=True)
class PreferencePair:
    """A prompt's ids and those of two answers to it, the preferred one first."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


def preference_pairs(rankings: Sequence[Ranked]) -> list[PreferencePair]:
    """Return every pair of every ranking that is no tie, in order."""
    return [
        PreferencePair(one.prompt, one.answers[better], one.answers[worse])
        for one in rankings
        for better, worse in pairs_of(one.ranks)
    ]
