"""Votes: who said what of which unit, as arrays of codes, repeats counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Votes:
    """Hold V votes as codes into the names.

    `unit`, `rater` and `label` are (V,) integers, `count` (V,) is how often the rater said so of
    the unit: a rater who judges a unit three times has three votes, as in Dawid and Skene 1979.
    Every unit has a vote.
    """

    unit: np.ndarray
    rater: np.ndarray
    label: np.ndarray
    count: np.ndarray
    units: np.ndarray  #: (U,) their names, ascending
    raters: np.ndarray  #: (R,) their names, ascending
    labels: np.ndarray  #: (C,) their names, in the order given

    def shares(self) -> np.ndarray:
        """Return (U, C): the share of each unit's votes that each label has."""
        shape = (len(self.units), len(self.labels))
        place = self.unit * shape[1] + self.label
        flat = np.bincount(place, weights=self.count, minlength=shape[0] * shape[1])
        found = flat.reshape(shape)
        return found / found.sum(axis=1, keepdims=True)


def votes_of(
    units: Any, raters: Any, labels: Any, *, classes: Sequence[Any], weights: Any = None
) -> Votes:
    """Return the votes in columns (N,) of unit, rater and label.

    `classes` names the labels that there are, said or not; `weights` (N,) counts a vote for more
    or less than one. Raises `ValueError` for a label that is no class.
    """
    unit_names, unit = np.unique(np.asarray(units), return_inverse=True)
    rater_names, rater = np.unique(np.asarray(raters), return_inverse=True)
    label = _codes(np.asarray(labels), classes)
    shape = (len(unit_names), len(rater_names), len(classes))
    key = (unit * shape[1] + rater) * shape[2] + label
    keys, where = np.unique(key, return_inverse=True)
    counts = np.bincount(where, weights=weights, minlength=len(keys)).astype(float)
    rest, labels_found = np.divmod(keys, shape[2])
    units_found, raters_found = np.divmod(rest, shape[1])
    return Votes(
        unit=units_found,
        rater=raters_found,
        label=labels_found,
        count=counts,
        units=unit_names,
        raters=rater_names,
        labels=np.asarray(classes),
    )


def _codes(labels: np.ndarray, classes: Sequence[Any]) -> np.ndarray:
    names, where = np.unique(labels, return_inverse=True)
    code = {name: place for place, name in enumerate(classes)}
    unknown = [name for name in names.tolist() if name not in code]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of the labels {list(classes)}")
    return np.array([code[name] for name in names.tolist()], dtype=int)[where]
