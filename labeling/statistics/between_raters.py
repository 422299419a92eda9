"""Each annotator beside each other one, and beside all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from labeling.statistics.bootstrap import Floats
from labeling.statistics.figure import Figure
from labeling.statistics.kappa import Weights, agreement_weights, kappa_and_influence
from labeling.statistics.unit_counts import Answers

Ints = npt.NDArray[np.integer[Any]]

# Of the normal distribution, for 95 %.
_TWO_SIDED = 1.959963984540054


@dataclass(frozen=True, eq=False)
class RaterTables:
    """Hold what every two raters said of the units that both rated.

    first, second: (M,), rater ids, first < second; tables (M, V, V): how often the first said the
    row's value and the second the column's. Of each pair of ratings: `cell` (P,), its place in the
    flattened tables, and `task` (P,), from 0.
    """

    first: Ints
    second: Ints
    tables: Floats
    cell: Ints
    task: Ints


def rater_tables(answers: Sequence[Answers]) -> RaterTables:
    """Return the tables of every two raters who share a task; all answers have the same values."""
    raters = np.unique(np.concatenate([np.zeros(0, np.int64), *(part.rater for part in answers)]))
    size = len(answers[0].values) if answers else 1
    codes: list[Ints] = [np.zeros(0, np.int64)]
    tasks: list[Ints] = [np.zeros(0, np.int64)]
    before = 0
    for part in answers:
        code, task = _codes(part, raters)
        codes.append(code)
        tasks.append(task + before)
        before += int(part.number.max(initial=-1)) + 1
    two, cell = np.divmod(np.concatenate(codes), size**2)
    met, place = _distinct(two, len(raters) ** 2)
    cell = place * size**2 + cell
    tables = np.bincount(cell, minlength=size**2 * len(met)).astype(np.float64)
    first, second = np.divmod(met, max(len(raters), 1))
    return RaterTables(
        raters[first],
        raters[second],
        tables.reshape(-1, size, size),
        cell,
        np.concatenate(tasks),
    )


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
    two weigh as much as they share, since raters are missing. The interval is the normal one of
    the linearised mean (Fleiss, Cohen & Everitt 1969, summed by task: Davison & Hinkley 1997,
    §3.8), as tables of all raters are too many to be drawn again. n counts pairs of ratings.
    """
    kappa, influence = kappa_and_influence(
        tables.tables, agreement_weights(tables.tables.shape[1], weights)
    )
    shared = np.where(np.isfinite(kappa), tables.tables.sum(axis=(1, 2)), 0.0)
    n = shared.sum()
    of = "pairs of ratings"
    if not n:
        return Figure(None, 0, of)
    value = float((np.nan_to_num(kappa) * shared).sum() / n)
    of_cell = np.nan_to_num(influence).ravel() / n
    by_task = np.bincount(tables.task, weights=of_cell[tables.cell])
    judged = np.bincount(tables.task) > 0
    if judged.sum() < 2:
        return Figure(value, round(n), of)
    error = _TWO_SIDED * float(np.sqrt((by_task**2).sum()))
    return Figure(value, round(n), of, value - error, value + error)


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


def _codes(part: Answers, raters: Ints) -> tuple[Ints, Ints]:
    """Return (two raters) · V² + (what the two said), and the task, of each pair of ratings."""
    first, second = part.pairs
    swap = part.rater[first] > part.rater[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    place = np.searchsorted(raters, part.rater)
    two = place[first] * len(raters) + place[second]
    one, other = part.codes[first], part.codes[second]
    both = (one >= 0) & (other >= 0)
    size = len(part.values)
    code = two[:, None] * size**2 + one.astype(np.int32) * size + other
    task = np.broadcast_to(part.number[first][:, None], both.shape)
    # Most often everything is answered, and a mask would copy it all once more.
    return (code.ravel(), task.ravel()) if both.all() else (code[both], task[both])


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
