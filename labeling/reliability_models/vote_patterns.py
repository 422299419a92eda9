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
    classes, units = len(votes.labels), len(votes.units)
    often, often_names = pd.factorize(votes.count)
    # What a vote is in one number, its label first: the same turned round is found in a table.
    kinds = len(votes.raters) * len(often_names) * classes
    key = votes.unit.astype(np.int64) * len(votes.raters) + votes.rater
    key = (key * len(often_names) + often) * classes + votes.label
    key.sort()
    key %= max(kinds, 1)
    key = key.astype(np.int32 if kinds < 2**31 else np.int64)
    image = None
    if mirror is not None:
        every = np.arange(kinds, dtype=key.dtype)
        image = every - every % classes + np.asarray(mirror, dtype=key.dtype)[every % classes]
    sizes = np.bincount(votes.unit, minlength=units)
    found, lengths, pattern, turned = _distinct(key, sizes, image)
    rater, rest = np.divmod(found, max(len(often_names) * classes, 1))
    count, label = np.divmod(rest, classes)
    return VotePatterns(
        said=rater * classes + label,
        count=np.asarray(often_names)[count],
        begins=np.cumsum(lengths) - lengths,
        often=np.bincount(pattern, minlength=len(lengths)),
        pattern=pattern,
        turned=turned,
    )


def _distinct(
    votes: np.ndarray, sizes: np.ndarray, image: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the votes (W,) and lengths (P,) of patterns, and each unit's pattern and turn (U,).

    `votes` are the units' one after the other, `sizes` (U,) of each; `image` is what a vote is when
    its unit is turned round.
    """
    begins = np.cumsum(sizes) - sizes
    pattern, turned = np.zeros(len(sizes), dtype=np.int64), np.zeros(len(sizes), dtype=bool)
    found, lengths = [votes[:0]], [sizes[:0]]
    known = 0
    for size in np.unique(sizes[sizes <= _MOST_COMPARED]).tolist():
        units = np.flatnonzero(sizes == size)
        said = np.empty((len(units), size), dtype=votes.dtype)
        for place in range(size):
            said[:, place] = votes[begins[units] + place]
        if image is not None:
            turned[units] = _turn(said, image)
        first, pattern[units] = _alike(said)
        pattern[units] += known
        found.append(said[first].ravel())
        lengths.append(sizes[units[first]])
        known += len(first)
    alone = sizes > _MOST_COMPARED
    pattern[alone] = known + np.arange(alone.sum())
    found.append(votes[np.repeat(alone, sizes)])
    lengths.append(sizes[alone])
    return np.concatenate(found), np.concatenate(lengths), pattern, turned


def _turn(said: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Turn units (N, S) in place so that one and the same turned round agree; return which (N,).

    The first vote that is not its own image decides.
    """
    other = image[said]
    row = np.arange(len(said))
    first = (other != said).argmax(axis=1)
    turned: np.ndarray = other[row, first] < said[row, first]
    said[turned] = other[turned]
    return turned


def _alike(said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row (P,) of each kind of row of `said` (N, S), and the kind of each (N,)."""
    kind = np.zeros(len(said), dtype=np.int64)
    for column in said.T:
        kind, _ = pd.factorize(kind * (int(column.max()) + 1) + column)
    first = np.empty(int(kind.max()) + 1, dtype=np.int64)
    first[kind[::-1]] = np.arange(len(said))[::-1]
    return first, kind
