"""Agreement between annotators: pure functions of how often each value was given to each unit.

They take `UnitCounts`, or a table with one row a rating: `unit` (what was rated), `annotator_id`,
`value`, and `task_id` where units belong to tasks. Units with one rating say nothing about
agreement and are left out of every figure and every n. Intervals are drawn over tasks.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from labeling.statistics.bootstrap import (
    USUAL,
    Floats,
    Resampling,
    TaskSumsBuilder,
    figure_of,
    ratio,
)
from labeling.statistics.figure import Figure
from labeling.statistics.unit_counts import UnitCounts, counts_of_ratings

__all__ = [
    "Figure",
    "Level",
    "Ratings",
    "agreement_by_annotator",
    "krippendorff_alpha",
    "pairwise_agreement",
    "shared_counts",
    "task_agreement",
]

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Ratings: TypeAlias = pd.DataFrame | UnitCounts


def shared_counts(ratings: Ratings) -> UnitCounts:
    """Return the counts of the units that two or more have rated."""
    counts = ratings if isinstance(ratings, UnitCounts) else counts_of_ratings(ratings)
    return counts.shared


def pairwise_agreement(ratings: Ratings, *, resampling: Resampling = USUAL) -> Figure:
    """Return the share of pairs of ratings of one unit that are equal.

    Every two annotators of a unit are one pair of ratings, and every pair counts once: the
    observed agreement of Fleiss (1971, Psychological Bulletin 76, 378–382), pooled over units of
    unlike numbers of ratings. On outcomes of completion pairs it is the figure that InstructGPT
    (Ouyang et al. 2022, §3.4) reports as inter-annotator agreement. A tie agrees with a tie only;
    leave ties out of the ratings to leave them out. n counts pairs of ratings.
    """
    builder = TaskSumsBuilder(resampling)
    for of_tasks in shared_counts(ratings).by_task(_equal_and_all_pairs):
        builder.add(of_tasks)
    sums = builder.built()
    n = 0 if sums is None else round(sums.total[1])
    of = "pairs of ratings"
    return figure_of(sums, ratio, n=n, of=of, resampling=resampling, least=0.0, trials=n)


def _equal_and_all_pairs(counts: Floats) -> Floats:
    raters = counts.sum(axis=1)
    equal = (counts * (counts - 1)).sum(axis=1) / 2
    return np.column_stack([equal, raters * (raters - 1) / 2])


def task_agreement(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return `pairwise_agreement` of each task that two or more have rated, indexed by task_id.

    `ratings` as `labeling.quality.pair_ratings` gives them, with task_id. One column, agreement.
    """
    rows = _shared(ratings)
    others = rows.groupby("unit")["value"].transform("size") - 1
    same = rows.groupby(["unit", "value"])["value"].transform("size") - 1
    sums = pd.DataFrame({"task_id": rows["task_id"], "same": same, "others": others})
    found = sums.groupby("task_id")[["same", "others"]].sum()
    return pd.DataFrame({"agreement": found["same"] / found["others"]})


def krippendorff_alpha(ratings: Ratings, level: Level, *, resampling: Resampling = USUAL) -> Figure:
    """Return Krippendorff's alpha: 1 is full agreement, 0 what chance gives, below 0 is worse.

    alpha = 1 − D_observed / D_expected (Krippendorff 2011, Computing Krippendorff's
    Alpha-Reliability, step D), from the coincidence matrix. It is None where no unit has two
    ratings, and where all ratings are equal: with nothing to tell apart, chance agrees fully as
    well. The interval keeps the distances of the whole sample, which only ordinal ones could
    change. n counts units with two ratings or more.
    """
    counts = shared_counts(ratings)
    distance = _distance(counts.counts.sum(axis=0), counts.values, level)

    def of_units(some: Floats) -> Floats:
        # The sum of the unit's part of the coincidence matrix times the distances.
        observed = ((some @ distance) * some).sum(axis=1) / (some.sum(axis=1) - 1)
        return np.column_stack([observed, some])

    builder = TaskSumsBuilder(resampling)
    for of_tasks in counts.by_task(of_units):
        builder.add(of_tasks)

    def alpha(totals: Floats) -> Floats:
        observed, of_value = totals[:, 0], totals[:, 1:]
        expected = ((of_value @ distance) * of_value).sum(axis=1) / (of_value.sum(axis=1) - 1)
        found: Floats = 1 - observed / np.where(expected > 0, expected, np.nan)
        return found

    trials = telling_pairs(counts) if level == "nominal" else np.inf
    of = "units rated twice or more"
    return figure_of(
        builder.built(), alpha, n=len(counts), of=of, resampling=resampling, trials=trials
    )


def telling_pairs(counts: UnitCounts) -> float:
    """Return how many pairs of ratings agreement beyond chance rests on at most.

    All of them where chance makes two ratings differ half of the time or more; where nearly all
    give one value, pairs without the rare ones say little: all times twice the share that would
    differ by chance. It is the effective number of kappa's variance near full agreement, which is
    (1 − κ) / (n d) with d that share (Bloch and Kraemer 1989, Biometrics 45, 269-287).
    """
    of_value, raters = counts.counts.sum(axis=0), counts.counts.sum(axis=1)
    pairs = float((raters * (raters - 1.0)).sum()) / 2
    shares = of_value / max(of_value.sum(), 1)
    return pairs * min(1.0, 2 * (1 - float((shares**2).sum())))


def agreement_by_annotator(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return each annotator's agreement with all others on the units that they share.

    Columns, indexed by annotator_id: agreement (share of equal pairs of ratings, one of them
    theirs) and n (the number of such pairs). Those who share no unit have no row.
    """
    rows = _shared(ratings)
    group = rows.groupby("unit")["value"]
    others = group.transform("size") - 1
    same = rows.groupby(["unit", "value"])["value"].transform("size") - 1
    sums = pd.DataFrame({"annotator_id": rows["annotator_id"], "same": same, "n": others})
    found = sums.groupby("annotator_id")[["same", "n"]].sum()
    return pd.DataFrame({"agreement": found["same"] / found["n"], "n": found["n"].astype(int)})


def _distance(totals: npt.NDArray[Any], values: npt.NDArray[Any], level: Level) -> Floats:
    """Return the squared difference of every two values (Krippendorff 2011, step C)."""
    if level == "nominal":
        return 1.0 - np.eye(len(totals))
    if level == "ordinal":
        # How many ratings lie between two values, half of those at either end included.
        middle = totals.cumsum() - totals / 2
        middle = middle / max(totals.sum(), 1)
        ordinal: Floats = (middle[:, None] - middle[None, :]) ** 2
        return ordinal
    values = values.astype(np.float64)
    gap = values[:, None] - values[None, :]
    if level == "ratio":
        both = values[:, None] + values[None, :]
        gap = np.divide(gap, both, out=np.zeros_like(gap), where=both != 0)
    squared: Floats = gap**2
    return squared


def _shared(ratings: pd.DataFrame) -> pd.DataFrame:
    several = ratings.groupby("unit")["annotator_id"].transform("size") > 1
    return ratings[several]
