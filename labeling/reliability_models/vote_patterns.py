"""Units that were told the same by the same raters: one of each kind is all that a fit works on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from labeling.reliability_models.votes import Votes

# Units with more votes are hardly ever alike, and comparing them takes a pass a vote.
_MOST_COMPARED = 16


@dataclass(frozen=True)
class VotePatterns:
    """Hold P patterns of W votes in all, those of a pattern in a row.

    `said` (W,) is rater * C + label, `count` (W,) how often it was said; `begins` (P,) is where the
    votes of each pattern begin, `often` (P,) how many of the U units have it. `pattern` (U,) is the
    one of each unit, and `turned` (U,) says that it is the unit turned round that has it.
    """

    said: np.ndarray
    count: np.ndarray
    begins: np.ndarray
    often: np.ndarray
    pattern: np.ndarray
    turned: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Return (P,): how many votes each pattern has."""
        return np.diff(self.begins, append=len(self.said))

    def of_units(self, posterior: np.ndarray, mirror: Sequence[int] | None) -> np.ndarray:
        """Return (C, U) from what is known of the patterns (C, P)."""
        found = posterior[:, self.pattern]
        if mirror is not None:
            found[:, self.turned] = found[:, self.turned][list(mirror)]
        return found


def vote_patterns(votes: Votes, mirror: Sequence[int] | None) -> VotePatterns:
    """Return the patterns of `votes`; with `mirror` a unit and the same turned round share one."""
    classes = len(votes.labels)
    span = len(votes.raters) * classes
    key = votes.unit * span + votes.rater * classes + votes.label
    order = np.argsort(key)
    unit, said = np.divmod(key[order], span)
    count = votes.count[order]
    turned = np.zeros(len(votes.units), dtype=bool)
    if mirror is not None:
        turned, said = _turned(unit, said, turned, np.asarray(mirror))
    sizes = np.bincount(unit, minlength=len(votes.units))
    begins = np.cumsum(sizes) - sizes
    first, pattern = _alike(said, count, begins, sizes)
    length = sizes[first]
    starts = np.cumsum(length) - length
    kept = np.repeat(begins[first] - starts, length) + np.arange(length.sum())
    often = np.bincount(pattern, minlength=len(first))
    return VotePatterns(said[kept], count[kept], starts, often, pattern, turned)


def _turned(
    unit: np.ndarray, said: np.ndarray, turned: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn units so that the first vote that is not its own mirror image has the lower label."""
    label = said % len(mirror)
    lopsided = np.flatnonzero(mirror[label] != label)
    first = lopsided[np.diff(unit[lopsided], prepend=-1) != 0]
    turned[unit[first]] = mirror[label[first]] < label[first]
    return turned, np.where(turned[unit], said - label + mirror[label], said)


def _alike(
    said: np.ndarray, count: np.ndarray, begins: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first unit (P,) of each pattern, and the pattern (U,) of each unit."""
    counts, count_names = pd.factorize(count)
    vote = said * len(count_names) + counts
    span = int(vote.max(initial=0)) + 1
    pattern = np.empty(len(sizes), dtype=np.int64)
    firsts: list[np.ndarray] = []
    known = 0
    for size in np.unique(np.minimum(sizes, _MOST_COMPARED + 1)).tolist():
        compared = size <= _MOST_COMPARED
        units = np.flatnonzero(sizes == size if compared else sizes > _MOST_COMPARED)
        code = np.zeros(len(units), dtype=np.int64) if compared else np.arange(len(units))
        for place in range(size if compared else 0):
            code, _ = pd.factorize(code * span + vote[begins[units] + place])
        first = np.empty(int(code.max()) + 1, dtype=np.int64)
        first[code[::-1]] = units[::-1]
        pattern[units] = code + known
        firsts.append(first)
        known += len(first)
    return np.concatenate(firsts), pattern
