"""Each annotator against each other one, and against all: on outcomes of completion pairs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from labeling.statistics.bootstrap import Floats
from labeling.statistics.figure import Figure
from labeling.statistics.kappa import Weights, agreement_weights, kappa_and_influence
from labeling.statistics.rankings import NOT_RANKED, Rankings, RankingsOfOneK

Ints = npt.NDArray[np.integer[Any]]

# Of the normal distribution, for 95 %.
_TWO_SIDED = 1.959963984540054


@dataclass(frozen=True, eq=False)
class RaterTables:
    """Hold what every two raters said of the pairs that both ranked.

    first, second: (M,), rater ids, first < second; tables (M, 3, 3): how often the first said
    worse, tied, better (row) and the second (column). Of each pair of ratings: `cell` (P,), its
    place in the flattened tables, and `task` (P,), from 0.
    """

    first: Ints
    second: Ints
    tables: Floats
    cell: Ints
    task: Ints


def rater_tables(rankings: Rankings) -> RaterTables:
    """Return the tables of every two raters who share a task."""
    raters = np.unique(np.concatenate([np.zeros(0, np.int64), *(p.rater for p in rankings.parts)]))
    codes, tasks, before = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for part in rankings.parts:
        code, task = _codes(part, raters)
        codes.append(code)
        tasks.append(task + before)
        before += int(part.task_number.max(initial=-1)) + 1
    code = np.concatenate(codes)
    two, cell = np.divmod(code, 9)
    met, place = _distinct(two, len(raters) ** 2)
    tables = np.bincount(place * 9 + cell, minlength=9 * len(met)).astype(np.float64)
    return RaterTables(
        raters[met // len(raters)] if len(raters) else met,
        raters[met % len(raters)] if len(raters) else met,
        tables.reshape(-1, 3, 3),
        place * 9 + cell,
        np.concatenate(tasks),
    )


def agreement_matrix(rankings: Rankings, weights: Weights = "unweighted") -> pd.DataFrame:
    """Return one row for every two raters who share a pair of completions.

    Columns: annotator_id, other_id (the larger), agreement (share of the pairs that both ranked on
    which they say the same), kappa (Cohen's; NaN where it is not defined), n (pairs of completions).
    """
    found = rater_tables(rankings)
    n = found.tables.sum(axis=(1, 2))
    kappa, _ = kappa_and_influence(found.tables, agreement_weights(3, weights))
    same = np.trace(found.tables, axis1=1, axis2=2)
    return pd.DataFrame(
        {
            "annotator_id": found.first,
            "other_id": found.second,
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
    kappa, influence = kappa_and_influence(tables.tables, agreement_weights(3, weights))
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


def agreement_with_others(rankings: Rankings) -> pd.DataFrame:
    """Return each rater's agreement with all others of the same tasks, on pairs of completions.

    Indexed by annotator_id: agreement (share of equal pairs of ratings, one of them theirs) and n,
    the number of such pairs. Those who share no task have no row.
    """
    return _agreement([(part, part.pair_counts.counts, 1) for part in rankings.parts])


def agreement_with(rankings: Rankings, people: Rankings) -> pd.DataFrame:
    """Return the agreement of each rater of `rankings` with `people`, of whom they are none.

    As `agreement_with_others`; what a model says changes nobody else's figure.
    """
    of_people = {part.k: part for part in people.parts}
    found = []
    for part in rankings.parts:
        others = of_people.get(part.k)
        if others is None:
            continue
        tasks = np.unique(others.task)
        here = np.isin(part.task, tasks)
        seen = RankingsOfOneK(part.task[here], part.rater[here], part.row[here], part.ranks[here])
        known = np.isin(tasks, seen.task)
        by_task = others.pair_counts.counts.reshape(len(tasks), -1, 3)[known]
        found.append((seen, by_task.reshape(-1, 3), 0))
    return _agreement(found)


def _codes(part: RankingsOfOneK, raters: Ints) -> tuple[Ints, Ints]:
    """Return (two raters) · 9 + (their two outcomes), and the task, of each pair of ratings."""
    first, second = part.rater_pairs
    swap = part.rater[first] > part.rater[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    place = np.searchsorted(raters, part.rater)
    two = place[first] * len(raters) + place[second]
    one, other = part.outcomes[first], part.outcomes[second]
    both = (one != NOT_RANKED) & (other != NOT_RANKED)
    cells = (one + 1) * np.int8(3) + (other + 1)
    code = (two[:, None] * 9 + cells)[both]
    task = np.broadcast_to(part.task_number[first][:, None], both.shape)[both]
    return code, task


def _distinct(codes: Ints, most: int) -> tuple[Ints, Ints]:
    """Return the distinct codes below `most`, ascending, and where each of `codes` is in them."""
    if most > 10_000_000:
        found, place = np.unique(codes, return_inverse=True)
        return found, place
    found = np.flatnonzero(np.bincount(codes, minlength=most))
    at = np.zeros(most, dtype=np.int64)
    at[found] = np.arange(len(found))
    return found, at[codes]


def _agreement(parts: list[tuple[RankingsOfOneK, npt.NDArray[Any], int]]) -> pd.DataFrame:
    """Return agreement and n by rater; each part has its tasks' counts, and own ratings in them."""
    tables = []
    for part, counts, own in parts:
        if not len(part.task):
            continue
        by_pair = counts.reshape(-1, part.outcomes.shape[1], 3)[part.task_number]
        ranked = part.outcomes != NOT_RANKED
        outcome = np.where(ranked, part.outcomes + 1, 0)[:, :, None]
        same = np.take_along_axis(by_pair, outcome, axis=2)[:, :, 0] - own
        others = by_pair.sum(axis=2) - own
        sums = {"same": (same * ranked).sum(axis=1), "n": (others * ranked).sum(axis=1)}
        tables.append(pd.DataFrame({"annotator_id": part.rater, **sums}))
    if not tables:
        tables = [pd.DataFrame({"annotator_id": [], "same": [], "n": []}, dtype=np.int64)]
    found = pd.concat(tables).groupby("annotator_id").sum()
    found = found[found["n"] > 0]
    return pd.DataFrame({"agreement": found["same"] / found["n"], "n": found["n"]})
