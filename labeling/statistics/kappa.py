"""Agreement corrected for chance in the ways of Fleiss, Gwet and Cohen."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from labeling.statistics.agreement import Ratings, shared_counts, telling_pairs
from labeling.statistics.bootstrap import (
    USUAL,
    Floats,
    Resampling,
    TaskSums,
    TaskSumsBuilder,
    figure_of,
)
from labeling.statistics.figure import Figure
from labeling.statistics.unit_counts import UnitCounts

Weights = Literal["unweighted", "linear", "quadratic"]

# Of the normal distribution, for 95 %.
_TWO_SIDED = 1.959963984540054


def agreement_weights(categories: int, weights: Weights) -> Floats:
    """Return how far every two of the ordered categories agree: (V, V), 1 on the diagonal.

    Linear weights fall with the distance of the categories' places (Cicchetti & Allison 1971),
    quadratic ones with its square (Fleiss & Cohen 1973).
    """
    if weights == "unweighted" or categories < 2:
        return np.eye(categories)
    place = np.arange(categories) / (categories - 1)
    gap: Floats = np.abs(place[:, None] - place[None, :])
    return 1 - (gap if weights == "linear" else gap**2)


def fleiss_kappa(
    ratings: Ratings, weights: Weights = "unweighted", *, resampling: Resampling = USUAL
) -> Figure:
    """Return Fleiss' kappa: agreement beyond that of raters who share one distribution of values.

    (p_a − p_e) / (1 − p_e) with p_e the sum of the squared shares of the values (Fleiss 1971,
    Psychological Bulletin 76, 378–382); where units have unlike numbers of ratings, and for
    weights, as in Gwet 2014, Handbook of Inter-Rater Reliability, 4th ed., §2.4 and §3.5. n counts
    units with two ratings or more.
    """
    counts = shared_counts(ratings)
    table = agreement_weights(len(counts.values), weights)

    def kappa(totals: Floats) -> Floats:
        observed, shares = _observed_and_shares(totals)
        return _beyond(observed, ((shares @ table) * shares).sum(axis=1))

    sums = _unit_means(counts, table, resampling)
    of = "units rated twice or more"
    trials = telling_pairs(counts) if weights == "unweighted" else np.inf
    return figure_of(sums, kappa, n=len(counts), of=of, resampling=resampling, trials=trials)


def gwet_ac(
    ratings: Ratings, weights: Weights = "unweighted", *, resampling: Resampling = USUAL
) -> Figure:
    """Return Gwet's AC1, or with weights AC2: it stays steady where nearly all give one value.

    p_e = T_w / (q (q − 1)) · Σ π_k (1 − π_k) with q values, T_w the sum of all weights, π_k the
    mean share of value k (Gwet 2008, British Journal of Mathematical and Statistical Psychology 61,
    29–48; weights: Gwet 2014, §3.5). q is the number of values in the ratings: pass `UnitCounts`
    where some value of the scale may never have been given. n counts units with two ratings or
    more.
    """
    counts = shared_counts(ratings)
    q = len(counts.values)
    table = agreement_weights(q, weights)

    def ac(totals: Floats) -> Floats:
        observed, shares = _observed_and_shares(totals)
        by_chance = table.sum() / max(q * (q - 1), 1) * (shares * (1 - shares)).sum(axis=1)
        return _beyond(observed, by_chance if q > 1 else np.ones(len(totals)))

    sums = _unit_means(counts, table, resampling)
    of = "units rated twice or more"
    return figure_of(sums, ac, n=len(counts), of=of, resampling=resampling)


@dataclass(frozen=True)
class CohenKappa:
    """Hold Cohen's kappa of two raters with its standard error and 95 % interval.

    None where it is not defined: nothing shared, or chance alone agrees fully. n counts units.
    """

    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    n: int


def cohen_kappa(table: npt.ArrayLike, weights: Weights = "unweighted") -> CohenKappa:
    """Return Cohen's kappa of a table (V, V): how often rater one said i and rater two said j.

    (p_o − p_e) / (1 − p_e), p_e from each rater's own shares (Cohen 1960, Educational and
    Psychological Measurement 20, 37–46; weighted: Cohen 1968). The standard error is the
    asymptotic one of Fleiss, Cohen & Everitt 1969, Psychological Bulletin 72, 323–327, eq. 13.
    """
    counts = np.asarray(table, dtype=np.float64)
    n = round(counts.sum())
    value, influence = kappa_and_influence(counts[None], agreement_weights(len(counts), weights))
    if not np.isfinite(value[0]):
        return CohenKappa(None, None, None, None, n)
    error = float(np.sqrt((counts * influence[0] ** 2).sum())) / n
    kappa = float(value[0])
    return CohenKappa(kappa, error, kappa - _TWO_SIDED * error, kappa + _TWO_SIDED * error, n)


def kappa_and_influence(tables: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return Cohen's kappa of each table (M, V, V), and what one more unit in each cell does to it.

    The influence (M, V, V) has mean 0 over a table's units; the mean of its square over n is the
    squared error of Fleiss, Cohen & Everitt (1969). Kappa is NaN where it is not defined.
    """
    n = tables.sum(axis=(1, 2))
    shares = tables / np.where(n > 0, n, np.nan)[:, None, None]
    ones, twos = shares.sum(axis=2), shares.sum(axis=1)
    # The mean weight of what one rater said with all that the other says.
    row, column = twos @ weights.T, ones @ weights
    observed = (shares * weights).sum(axis=(1, 2))
    by_chance = (ones * row).sum(axis=1)
    kappa = _beyond(observed, by_chance)
    loss = (1 - kappa)[:, None, None] * (row[:, :, None] + column[:, None, :])
    middle = kappa - by_chance * (1 - kappa)
    room = np.where(by_chance < 1, 1 - by_chance, np.nan)
    return kappa, (weights - loss - middle[:, None, None]) / room[:, None, None]


def _unit_means(counts: UnitCounts, table: Floats, resampling: Resampling) -> TaskSums | None:
    """Return the sums over a task's units of: agreement, share of each value, and 1."""

    def of_units(some: Floats) -> Floats:
        n = some.sum(axis=1)
        agreeing = (((some @ table) * some).sum(axis=1) - n) / (n * (n - 1))
        return np.column_stack([agreeing, some / n[:, None], np.ones(len(some))])

    builder = TaskSumsBuilder(resampling)
    for of_tasks in counts.by_task(of_units):
        builder.add(of_tasks)
    return builder.built()


def _observed_and_shares(totals: Floats) -> tuple[Floats, Floats]:
    means: Any = totals[:, :-1] / totals[:, -1:]
    return means[:, 0], means[:, 1:]


def _beyond(observed: Floats, by_chance: Floats) -> Floats:
    """Return the agreement beyond chance; NaN where chance agrees fully."""
    # Rounding may leave chance a hair below 1 where all ratings are equal.
    room = np.where(by_chance < 1 - 1e-12, 1 - by_chance, np.nan)
    found: Floats = (observed - by_chance) / room
    return found
