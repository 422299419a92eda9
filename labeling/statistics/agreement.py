"""Agreement between annotators: pure functions of a table of ratings.

A table has one row a rating: `unit` (what was rated), `annotator_id`, `value`. Units with one
rating say nothing about agreement and are left out of every figure and every n.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Level = Literal["nominal", "ordinal", "interval", "ratio"]


@dataclass(frozen=True)
class Figure:
    """Hold a figure with the number it rests on; `value` is None where nothing can be measured."""

    value: float | None
    n: int
    of: str


def pairwise_agreement(ratings: pd.DataFrame) -> Figure:
    """Return the share of pairs of ratings of one unit that are equal.

    Every two annotators of a unit are one pair of ratings, and every pair counts once: the
    observed agreement of Fleiss (1971, Psychological Bulletin 76, 378–382), pooled over units of
    unlike numbers of ratings. On outcomes of completion pairs it is the figure that InstructGPT
    (Ouyang et al. 2022, §3.4) reports as inter-annotator agreement. A tie agrees with a tie only;
    drop ties from the table to leave them out. n counts pairs of ratings.
    """
    counts = _counts(ratings).to_numpy(dtype=float)
    of_unit = counts.sum(axis=1)
    pairs = (of_unit * (of_unit - 1)).sum() / 2
    equal = (counts * (counts - 1)).sum() / 2
    return Figure(float(equal / pairs) if pairs else None, round(pairs), "pairs of ratings")


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


def krippendorff_alpha(ratings: pd.DataFrame, level: Level) -> Figure:
    """Return Krippendorff's alpha: 1 is full agreement, 0 what chance gives, below 0 is worse.

    alpha = 1 − D_observed / D_expected (Krippendorff 2011, Computing Krippendorff's
    Alpha-Reliability, step D), from the coincidence matrix. It is None where no unit has two
    ratings, and where all ratings are equal: with nothing to tell apart, chance agrees fully as
    well. n counts units with two ratings or more.
    """
    counts = _counts(ratings)
    if counts.shape[1] < 2:
        return Figure(None, len(counts), "units rated twice or more")
    alpha = _alpha(counts.to_numpy(dtype=float), counts.columns.to_numpy(), level)
    return Figure(alpha, len(counts), "units rated twice or more")


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


def _alpha(counts: np.ndarray, values: np.ndarray, level: Level) -> float:
    """Return 1 − D_observed / D_expected from `counts` (units, values)."""
    shares = counts / (counts.sum(axis=1, keepdims=True) - 1)
    observed = counts.T @ shares - np.diag(shares.sum(axis=0))
    totals = counts.sum(axis=0)
    expected = (np.outer(totals, totals) - np.diag(totals)) / (totals.sum() - 1)
    distance = _distance(totals, values, level)
    return float(1 - (observed * distance).sum() / (expected * distance).sum())


def _distance(totals: np.ndarray, values: np.ndarray, level: Level) -> np.ndarray:
    """Return the squared difference of every two values (Krippendorff 2011, step C)."""
    if level == "nominal":
        return 1.0 - np.eye(len(totals))
    if level == "ordinal":
        # How many ratings lie between two values, half of those at either end included.
        middle = totals.cumsum() - totals / 2
        return (middle[:, None] - middle[None, :]) ** 2
    gap = values[:, None] - values[None, :]
    return gap**2 if level == "interval" else (gap / (values[:, None] + values[None, :])) ** 2


def _shared(ratings: pd.DataFrame) -> pd.DataFrame:
    several = ratings.groupby("unit")["annotator_id"].transform("size") > 1
    return ratings[several]


def _counts(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return how often each value (columns, ascending) was given to each unit (rows)."""
    rows = _shared(ratings)
    units, unit_names = pd.factorize(rows["unit"])
    values, value_names = pd.factorize(rows["value"], sort=True)
    shape = (len(unit_names), len(value_names))
    flat = np.bincount(units * shape[1] + values, minlength=shape[0] * shape[1])
    return pd.DataFrame(flat.reshape(shape), columns=list(value_names))
