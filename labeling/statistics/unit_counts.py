"""How often each value was given to each unit: all that agreement is measured from.

A unit is what was rated: a pair of completions (better, tied, worse), a completion (its rank, its
Likert score), a task with one label. Units with one rating say nothing about agreement and are left
out of every figure and every n.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Counts = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

# Numbers that are worked on at once: enough to be fast, and little memory.
_AT_ONCE = 2_000_000


@dataclass(frozen=True, eq=False)
class UnitCounts:
    """Hold the counts (U, V) of V values in U units, units of one task in a row.

    `task` (U,) numbers the tasks, ascending; `values` (V,) ascend where they are numbers.
    """

    counts: Counts
    task: npt.NDArray[np.int64]
    values: npt.NDArray[Any]

    @cached_property
    def shared(self) -> "UnitCounts":
        """Return the units that two or more have rated."""
        keep = self.counts.sum(axis=1) > 1
        if keep.all():
            return self
        return UnitCounts(self.counts[keep], self.task[keep], self.values)

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.counts)

    @cached_property
    def kinds(self) -> tuple[Counts, npt.NDArray[np.int64]]:
        """Return the different counts (K, V) that units have, and which of them each unit has (U,).

        Three raters can give three values in ten ways: what is measured of a unit is measured of
        these, however many units there are.
        """
        base = int(self.counts.max(initial=0)) + 1
        if base ** self.counts.shape[1] >= 2**62:
            found, which = np.unique(self.counts, axis=0, return_inverse=True)
            return found, which.reshape(-1)
        code = np.zeros(len(self), dtype=np.int64)
        # Column by column: a product of matrices would copy all counts as wider numbers.
        for place in range(self.counts.shape[1]):
            code += self.counts[:, place].astype(np.int64) * base**place
        which, codes = pd.factorize(code)
        places = codes[:, None] // base ** np.arange(self.counts.shape[1]) % base
        return places.astype(np.int32), which.astype(np.int64)

    def by_task(self, of_units: Callable[[Floats], Floats]) -> Iterator[Floats]:
        """Yield the sums (T, C) over the units of each task of `of_units`, some tasks at a time.

        `of_units` takes counts (K, V) and returns (K, C), for each row by itself.
        """
        kinds, which = self.kinds
        values = of_units(kinds.astype(np.float64))
        begins = np.flatnonzero(np.diff(self.task, prepend=-1))
        tasks_at_once = max(1, _AT_ONCE // max(len(kinds), 1))
        for first in range(0, len(begins), tasks_at_once):
            some = begins[first : first + tasks_at_once]
            after = first + tasks_at_once
            end = begins[after] if after < len(begins) else len(self.counts)
            units = np.diff(np.append(some, end))
            code = np.repeat(np.arange(len(some)) * len(kinds), units) + which[some[0] : end]
            often = np.bincount(code, minlength=len(some) * len(kinds))
            yield often.reshape(len(some), len(kinds)) @ values


def counts_of_ratings(ratings: pd.DataFrame) -> UnitCounts:
    """Return the counts of a table with one row a rating: `unit`, `value`, and `task_id`.

    Without task_id each unit is a task of its own.
    """
    named = "task_id" if "task_id" in ratings.columns else "unit"
    tasks, _ = pd.factorize(ratings[named])
    order = np.argsort(tasks, kind="stable")
    units, unit_names = pd.factorize(ratings["unit"].to_numpy()[order])
    values, names = pd.factorize(ratings["value"].to_numpy()[order], sort=True)
    shape = (len(unit_names), max(len(names), 1))
    flat = np.bincount(units * shape[1] + values, minlength=shape[0] * shape[1])
    task = np.zeros(len(unit_names), dtype=np.int64)
    task[units] = tasks[order]
    # A unit that turns up again after another task's would break the order of tasks.
    by_task = np.argsort(task, kind="stable")
    counts = flat.reshape(shape).astype(np.int32)[by_task][:, : len(names)]
    return UnitCounts(counts, task[by_task], np.asarray(names))


@dataclass(frozen=True, eq=False)
class Answers:
    """Hold N answers to tasks of P units each, tasks ascending, the raters of a task in a row.

    task, rater: (N,); codes: (N, P), the place of what was said among `values`, -1 for nothing.
    """

    task: npt.NDArray[np.integer[Any]]
    rater: npt.NDArray[np.integer[Any]]
    codes: npt.NDArray[np.integer[Any]]
    values: npt.NDArray[Any]

    @cached_property
    def number(self) -> npt.NDArray[np.int64]:
        """Return (N,): the tasks numbered from 0."""
        return np.cumsum(np.diff(self.task, prepend=-1) != 0) - 1

    @cached_property
    def counts(self) -> UnitCounts:
        """Return how often each value was given to each unit."""
        width, size = self.codes.shape[1], len(self.values)
        tasks = int(self.number.max(initial=-1)) + 1
        counts = np.empty((tasks * width, size), dtype=np.int32)
        for place in range(width):
            column = self.codes[:, place]
            given = column >= 0
            code = self.number[given] * size + column[given]
            counts[place::width] = np.bincount(code, minlength=tasks * size).reshape(tasks, size)
        return UnitCounts(counts, np.repeat(np.arange(tasks), width), self.values)

    @cached_property
    def pairs(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the places of every two answers to one task, each two once."""
        firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for apart in range(1, len(self.task)):
            first = np.flatnonzero(self.task[apart:] == self.task[:-apart])
            if not len(first):
                break
            firsts.append(first)
            seconds.append(first + apart)
        return np.concatenate(firsts), np.concatenate(seconds)


def together(parts: list[UnitCounts]) -> UnitCounts:
    """Return the units of all parts, each with tasks of its own, over the values of them all."""
    if len(parts) == 1:
        return parts[0]
    values = np.unique(np.concatenate([part.values for part in parts])) if parts else np.array([])
    counts, tasks, first = [], [], 0
    for part in parts:
        wide = np.zeros((len(part), len(values)), dtype=np.int32)
        wide[:, np.searchsorted(values, part.values)] = part.counts
        counts.append(wide)
        tasks.append(part.task + first)
        first += int(part.task.max(initial=-1)) + 1
    if not parts:
        return UnitCounts(np.zeros((0, 0), np.int32), np.zeros(0, np.int64), values)
    return UnitCounts(np.concatenate(counts), np.concatenate(tasks), values)
