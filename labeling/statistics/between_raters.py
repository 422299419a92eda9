"""Each annotator beside each other one, and beside all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from labeling.statistics.bootstrap import Floats
from labeling.statistics.bounded_interval import bounded_interval
from labeling.statistics.figure import Figure
from labeling.statistics.kappa import Weights, agreement_weights, kappa_and_influence
from labeling.statistics.unit_counts import Answers

Ints = npt.NDArray[np.integer[Any]]

# Pairs of answers that are worked on at once: enough to be fast, and little memory.
_AT_ONCE = 200_000
# Tasks below which each is left out in turn: the linearised error of few is too small.
_FEW = 50


@dataclass(frozen=True, eq=False)
class RaterTables:
    """Hold what every two raters said of the units that both rated.

    first, second: (M,), rater ids, first < second; tables (M, V, V): how often the first said the
    row's value and the second the column's. Of every two answers to one task, some at a time in
    `cells`: (Q, W) places in the flattened tables, the one after the last where either said
    nothing of that unit, and (Q,) the task, from 0.
    """

    first: Ints
    second: Ints
    tables: Floats
    cells: tuple[tuple[Ints, Ints], ...]


def rater_tables(answers: Sequence[Answers]) -> RaterTables:
    """Return the tables of every two raters who share a task; all answers have the same values."""
    raters = np.unique(np.concatenate([np.zeros(0, np.int64), *(part.rater for part in answers)]))
    size = len(answers[0].values) if answers else 1
    pairs = [_pairs(part, raters) for part in answers]
    two = np.concatenate([np.zeros(0, np.int64), *(each for _, _, each in pairs)])
    met, place = _distinct(two, len(raters) ** 2)
    none = len(met) * size**2
    counts = np.zeros(none + 1, dtype=np.int64)
    cells, tasks, begin = [], 0, 0
    for part, (one, other, _) in zip(answers, pairs, strict=True):
        for some in range(0, len(one), _AT_ONCE):
            which = slice(some, some + _AT_ONCE)
            said, told = part.codes[one[which]], part.codes[other[which]]
            base = place[begin + some : begin + some + len(said), None] * size**2
            cell = base + said.astype(np.int64) * size + told
            cell[(said < 0) | (told < 0)] = none
            counts += np.bincount(cell.ravel(), minlength=none + 1)
            task = part.number[one[which]] + tasks
            cells.append((cell.astype(np.min_scalar_type(none)), task))
        begin += len(one)
        tasks += int(part.number.max(initial=-1)) + 1
    first, second = np.divmod(met, max(len(raters), 1))
    tables = counts[:none].astype(np.float64).reshape(-1, size, size)
    return RaterTables(raters[first], raters[second], tables, tuple(cells))


def agreement_matrix(tables: RaterTables, weights: Weights = "unweighted") -> pd.DataFrame:
    """Return one row for every two raters who share a unit.

    Columns: annotator_id, other_id (the larger), agreement (share of the units that both rated of
    which they say the same), kappa (Cohen's; NaN where it is not defined), n (those units).
    """
    n = tables.tables.sum(axis=(1, 2))
    kappa, _ = kappa_and_influence(
        tables.tables, agreement_weights(tables.tables.shape[1], weights)
    )
    same = np.trace(tables.tables, axis1=1, axis2=2)
    return pd.DataFrame(
        {
            "annotator_id": tables.first,
            "other_id": tables.second,
            "agreement": same / np.maximum(n, 1),
            "kappa": kappa,
            "n": n.astype(np.int64),
        }
    )


def mean_cohen_kappa(tables: RaterTables, weights: Weights = "unweighted") -> Figure:
    """Return the mean of Cohen's kappa over every two raters, by how many pairs they share.

    The mean over two raters at a time is Light's (1971, Psychological Bulletin 76, 365–377); each
    two weigh as much as they share, since raters are missing. The interval is `bounded_interval`
    with the error of the linearised mean (Fleiss, Cohen & Everitt 1969, summed by task: Davison &
    Hinkley 1997, §3.8), as tables of all raters are too many to be drawn again; of few tasks with
    the jackknife's (Efron & Tibshirani 1993, §11.5). n counts pairs of ratings.
    """
    weighing = agreement_weights(tables.tables.shape[1], weights)
    kappa, influence = kappa_and_influence(tables.tables, weighing)
    shared = np.where(np.isfinite(kappa), tables.tables.sum(axis=(1, 2)), 0.0)
    n = shared.sum()
    of = "pairs of ratings"
    if not n:
        return Figure(None, 0, of)
    value = _mean_of_two(tables.tables, weighing)
    of_cell = np.append(np.nan_to_num(influence).ravel() / n, 0.0)
    by_task = np.zeros(1 + max(int(task.max()) for _, task in tables.cells))
    judged = np.zeros(len(by_task), dtype=bool)
    for cell, task in tables.cells:
        of_pair = of_cell[cell].sum(axis=1)
        by_task += np.bincount(task, weights=of_pair, minlength=len(by_task))
        judged[task] = True
    tasks = int(judged.sum())
    if tasks < 2:
        return Figure(value, round(n), of)
    error = float(np.sqrt((by_task**2).sum() * tasks / (tasks - 1)))
    if tasks < _FEW:
        without = _without_each(tables, weighing, np.flatnonzero(judged))
        tasks = len(without)
        error = float(np.sqrt(max(tasks - 1, 0) * without.var())) if tasks else 0.0
    if tasks < 2:
        return Figure(value, round(n), of, -1.0, 1.0)
    trials = _telling_pairs(tables.tables) if weights == "unweighted" else np.inf
    low, high = bounded_interval(value, error, tasks, least=-1.0, trials=trials)
    return Figure(value, round(n), of, min(low, value), max(high, value))


def _mean_of_two(tables: Floats, weighing: Floats) -> float:
    """Return the mean kappa of tables (M, V, V) by what they hold; NaN where none is defined."""
    kappa, _ = kappa_and_influence(tables, weighing)
    shared = np.where(np.isfinite(kappa), tables.sum(axis=(1, 2)), 0.0)
    if not shared.any():
        return float("nan")
    return float((np.nan_to_num(kappa) * shared).sum() / shared.sum())


def _without_each(tables: RaterTables, weighing: Floats, tasks: Ints) -> Floats:
    """Return the mean kappa without each of the tasks, of those without which there is one."""
    size = tables.tables.size
    found = []
    for one in tasks:
        gone = np.zeros(size + 1)
        for cell, task in tables.cells:
            gone += np.bincount(cell[task == one].ravel(), minlength=size + 1)
        left = tables.tables - gone[:size].reshape(tables.tables.shape)
        found.append(_mean_of_two(left, weighing))
    values = np.array(found)
    return values[np.isfinite(values)]


def _telling_pairs(tables: Floats) -> float:
    """Return `labeling.statistics.agreement.telling_pairs`, chance being of every two raters."""
    n = tables.sum(axis=(1, 2))
    by_chance = (tables.sum(axis=2) * tables.sum(axis=1)).sum(axis=1) / np.maximum(n, 1)
    return float((n * np.minimum(1.0, 2 * (1 - by_chance / np.maximum(n, 1)))).sum())


def agreement_with_others(answers: Sequence[Answers]) -> pd.DataFrame:
    """Return each rater's agreement with all others of the same units.

    Indexed by annotator_id: agreement (share of equal pairs of ratings, one of them theirs) and n,
    the number of such pairs. Those who share no unit have no row.
    """
    return _agreement([(part, part.counts.counts, 1) for part in answers])


def agreement_with(answers: Sequence[Answers], people: Sequence[Answers]) -> pd.DataFrame:
    """Return the agreement of each rater of `answers` with `people`, of whom they are none.

    As `agreement_with_others`; what a model says changes nobody else's figure.
    """
    of_people = {part.codes.shape[1]: part for part in people}
    found = []
    for part in answers:
        others = of_people.get(part.codes.shape[1])
        if others is None:
            continue
        tasks = np.unique(others.task)
        here = np.isin(part.task, tasks)
        seen = Answers(part.task[here], part.rater[here], part.codes[here], part.values)
        known = np.isin(tasks, seen.task)
        by_task = others.counts.counts.reshape(len(tasks), -1)[known]
        found.append((seen, by_task, 0))
    return _agreement(found)


def _pairs(part: Answers, raters: Ints) -> tuple[Ints, Ints, Ints]:
    """Return every two answers (Q,) to a task with a unit that both rated, and the two raters."""
    first, second = part.pairs
    given = part.codes >= 0
    if not given.all():
        both = (given[first] & given[second]).any(axis=1)
        first, second = first[both], second[both]
    swap = part.rater[first] > part.rater[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    place = np.searchsorted(raters, part.rater)
    return first, second, place[first] * len(raters) + place[second]


def _distinct(codes: Ints, most: int) -> tuple[Ints, Ints]:
    """Return the distinct codes below `most`, ascending, and where each of `codes` is in them."""
    if most > max(10 * len(codes), 10_000):
        found, place = np.unique(codes, return_inverse=True)
        return found, place
    found = np.flatnonzero(np.bincount(codes, minlength=most))
    at = np.zeros(most, dtype=np.int64)
    at[found] = np.arange(len(found))
    return found, at[codes]


def _agreement(parts: list[tuple[Answers, npt.NDArray[Any], int]]) -> pd.DataFrame:
    """Return agreement and n by rater; each part has its tasks' counts, and own ratings in them."""
    tables = [pd.DataFrame({"annotator_id": [], "same": [], "n": []}, dtype=np.int64)]
    for part, counts, own in parts:
        by_unit = counts.reshape(-1, part.codes.shape[1], len(part.values))
        others = by_unit.sum(axis=2)
        same, n = np.zeros((2, len(part.task)), dtype=np.int64)
        for place in range(part.codes.shape[1]):
            given = part.codes[:, place] >= 0
            task, said = part.number[given], part.codes[given, place]
            same[given] += by_unit[task, place, said] - own
            n[given] += others[task, place] - own
        tables.append(pd.DataFrame({"annotator_id": part.rater, "same": same, "n": n}))
    found = pd.concat(tables).groupby("annotator_id").sum()
    found = found[found["n"] > 0]
    return pd.DataFrame({"agreement": found["same"] / found["n"], "n": found["n"]})
