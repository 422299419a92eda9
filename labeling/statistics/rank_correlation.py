"""Agreement of whole rankings: Kendall's tau-b and W, the same order, the same best completion.

Every figure is of the rankings in which each completion of the task is ranked; raters may be
missing from any task.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from labeling.statistics.bootstrap import (
    USUAL,
    Floats,
    Resampling,
    TaskSumsBuilder,
    figure_of,
    ratio,
)
from labeling.statistics.figure import Figure
from labeling.statistics.rankings import Rankings, RankingsOfOneK

#: What two rankings of one task (places of both) have in common; NaN where that is not defined.
PairFigure = Callable[[RankingsOfOneK, npt.NDArray[Any], npt.NDArray[Any]], Floats]


def kendall_tau_b(rankings: Rankings, *, resampling: Resampling = USUAL) -> Figure:
    """Return the mean over pairs of rankings of one task of Kendall's tau-b.

    (C − D) / √((n₀ − n₁)(n₀ − n₂)): pairs of completions ordered alike less those ordered
    otherwise, over the pairs that each leaves untied (Kendall 1945, The treatment of ties in
    ranking problems, Biometrika 33, 239–251). Not defined, and left out, where one of the two ties
    everything. 1 is the same order, 0 chance. n counts pairs of rankings.
    """
    return _mean_of_pairs(rankings, _tau_b, resampling, least=-1.0)


def exact_order_agreement(rankings: Rankings, *, resampling: Resampling = USUAL) -> Figure:
    """Return the share of pairs of rankings of one task that are the same, ties included.

    The percentage agreement of two raters (Gwet 2014, Handbook of Inter-Rater Reliability, §2.3)
    with whole weak orders as the categories. n counts pairs of rankings.
    """
    return _mean_of_pairs(rankings, _same_order, resampling, least=0.0)


def top_one_agreement(rankings: Rankings, *, resampling: Resampling = USUAL) -> Figure:
    """Return the share of pairs of rankings of one task that put the same on top.

    Where completions share the first place, both must have the same ones there. With two
    completions it is the agreement on best-of-two that MT-bench reports as setup S1 (Zheng et al.
    2023, §4.2). n counts pairs of rankings.
    """
    return _mean_of_pairs(rankings, _same_best, resampling, least=0.0)


def kendall_w(rankings: Rankings, *, resampling: Resampling = USUAL) -> Figure:
    """Return the mean over tasks of Kendall's coefficient of concordance, corrected for ties.

    W = 12 S / (m² (K³ − K) − m Σ T_j) over the m rankings of a task, S the squared deviations of
    the completions' rank sums, T_j = Σ (t³ − t) over the ties of ranking j (Kendall & Babington
    Smith 1939, Annals of Mathematical Statistics 10, 275–287; ties: Siegel & Castellan 1988, §9.4).
    1 is one order, and chance gives 1/m, not 0. Tasks with one ranking, and those that everyone
    ties throughout, are left out. n counts tasks.
    """
    builder = TaskSumsBuilder(resampling)
    for part in rankings.parts:
        w = concordance(part)
        builder.add(np.column_stack([w, np.ones(len(w))]))
    return _mean(builder, "tasks ranked twice or more", resampling, least=0.0)


def concordance(part: RankingsOfOneK) -> Floats:
    """Return W of each task with two rankings or more, in the order of tasks, where defined."""
    places, task = part.complete.average_ranks, part.complete.task
    if not len(task):
        return np.zeros(0)
    begins = np.flatnonzero(np.diff(task, prepend=-1))
    raters = np.diff(np.append(begins, len(task)))
    deviations = places - np.float32((part.k + 1) / 2)
    of_sums = (np.add.reduceat(deviations, begins, dtype=np.float64) ** 2).sum(axis=1)
    # (K³ − K − T_j) / 12 is the sum of a ranking's squared deviations from the mean rank.
    squares = np.einsum("nk,nk->n", deviations, deviations)
    most = raters * np.add.reduceat(squares, begins, dtype=np.float64)
    defined = (raters > 1) & (most > 0)
    found: Floats = of_sums[defined] / most[defined]
    return found


def _mean_of_pairs(
    rankings: Rankings, figure: PairFigure, resampling: Resampling, *, least: float
) -> Figure:
    builder = TaskSumsBuilder(resampling)
    for part in rankings.parts:
        of = part.complete
        first, second = of.pair_answers.pairs
        if not len(first):
            continue
        values = figure(of, first, second)
        defined = np.isfinite(values)
        number = of.pair_answers.number[first[defined]]
        pairs = np.bincount(number).astype(np.float64)
        sums = np.column_stack([np.bincount(number, weights=values[defined]), pairs])
        builder.add(sums[pairs > 0])
    return _mean(builder, "pairs of rankings", resampling, least=least)


def _mean(builder: TaskSumsBuilder, of: str, resampling: Resampling, *, least: float) -> Figure:
    sums = builder.built()
    n = 0 if sums is None else round(sums.total[1])
    return figure_of(sums, ratio, n=n, of=of, resampling=resampling, least=least)


def _tau_b(part: RankingsOfOneK, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Floats:
    untied = (part.outcomes != 0).sum(axis=1)
    alike = np.einsum("np,np->n", part.outcomes[first], part.outcomes[second], dtype=np.int32)
    most = np.sqrt(untied[first].astype(np.float64) * untied[second])
    return np.divide(alike, most, out=np.full(len(first), np.nan), where=most > 0)


def _same_order(part: RankingsOfOneK, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Floats:
    same: Floats = (part.outcomes[first] == part.outcomes[second]).all(axis=1).astype(np.float64)
    return same


def _same_best(part: RankingsOfOneK, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Floats:
    best = part.ranks == part.ranks.min(axis=1, keepdims=True)
    same: Floats = (best[first] == best[second]).all(axis=1).astype(np.float64)
    return same
