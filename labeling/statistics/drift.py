"""Drift: how an annotator's judgments change from week to week."""

import numpy as np
import pandas as pd

from labeling.statistics.clustered_shares import clustered_shares
from labeling.statistics.judgment_columns import JudgmentColumns
from labeling.statistics.measured_times import seconds_of
from labeling.statistics.student import student_quantiles

COLUMNS = ("annotator_id", "week", "judgments", "tie_share", "median_seconds")
_FEWEST_WEEKS, _FEWEST_JUDGMENTS = 2, 3
# An interval that is narrower, in share a week, comes of numbers that are rounded.
_ROUNDING = 1e-9


def weeks_of(columns: JudgmentColumns) -> np.ndarray:
    """Return (N,) the Monday of the week, in UTC, that each judgment is from."""
    days = columns.created_at.astype("datetime64[D]")
    # The epoch was a Thursday.
    return days - (days.astype(np.int64) + 3) % 7


def by_week(
    columns: JudgmentColumns,
    agreed: np.ndarray,
    of: np.ndarray,
    ties: np.ndarray,
    pairs: np.ndarray,
) -> pd.DataFrame:
    """Return one row an annotator and week, in that order.

    Columns: annotator_id, week (its Monday), judgments, tie_share, median_seconds (of the judgments
    whose time is known; NaN without any), and agreement with the others with agreement_low,
    agreement_high and agreement_n (pairs). `agreed` and `of` are what `leave_one_out` says; `ties`
    of `pairs` are tied in each judgment; all (N,).
    """
    table = pd.DataFrame(
        {
            "annotator_id": columns.annotator_id,
            "week": weeks_of(columns),
            "ties": ties,
            "pairs": pairs,
            "seconds": seconds_of(columns.milliseconds, columns.fast),
        }
    )
    group = table.groupby(["annotator_id", "week"])
    found = group.agg(
        judgments=("ties", "size"),
        ties=("ties", "sum"),
        pairs=("pairs", "sum"),
        median_seconds=("seconds", "median"),
    )
    shares = clustered_shares(agreed, of, group.ngroup().to_numpy())
    names = {name: f"agreement_{name}" for name in ("low", "high", "n")} | {"value": "agreement"}
    shares = shares.rename(columns=names).set_index(found.index)
    found["tie_share"] = found["ties"] / found["pairs"].clip(lower=1)
    return found.join(shares).drop(columns=["ties", "pairs"]).reset_index()


def drift(columns: JudgmentColumns, agreed: np.ndarray, of: np.ndarray) -> pd.DataFrame:
    """Return how much each annotator's agreement with the others changes in a week.

    Indexed by annotator_id: drift (the slope of the least-squares line of agreement over weeks,
    each judgment weighing as many pairs as it has), drift_low and drift_high (95 %, Student's t and
    the robust variance of White 1980, Econometrica 48, 817-838, times n / (n - 2): MacKinnon and
    White 1985, Journal of Econometrics 29, 305-325, HC1), None for whoever has judged with others
    in one week alone, or twice in all: any two points have a line. Where all lie on the line, as
    those of whoever agreed always do, nothing tells how sure it is: there is no interval.
    """
    names, code = np.unique(columns.annotator_id, return_inverse=True)
    week = weeks_of(columns).astype(np.int64) / 7.0
    share = np.divide(agreed, of, out=np.zeros(len(of)), where=of > 0)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(code, weights=values, minlength=len(names))

    size = np.maximum(sums(of), 1e-12)
    from_middle = week - (sums(of * week) / size)[code]
    spread = sums(of * from_middle**2)
    middle = (sums(of * share) / size)[code]
    slope = sums(of * from_middle * share) / np.maximum(spread, 1e-12)
    left = share - middle - slope[code] * from_middle
    judged = sums((of > 0) * 1.0)
    freedom = np.maximum(judged - 2, 1).astype(int)
    variance = sums((of * from_middle * left) ** 2) * judged / freedom
    reach = student_quantiles(freedom) * np.sqrt(variance) / np.maximum(spread, 1e-12)
    found = pd.DataFrame(
        {"drift": slope, "drift_low": slope - reach, "drift_high": slope + reach}, index=names
    ).astype(object)
    weeks = pd.DataFrame({"code": code, "week": week})[of > 0].groupby("code")["week"].nunique()
    several = weeks.reindex(range(len(names)), fill_value=0).to_numpy() >= _FEWEST_WEEKS
    found[~several | (judged < _FEWEST_JUDGMENTS)] = None
    found.loc[reach < _ROUNDING, ["drift_low", "drift_high"]] = None
    return found
