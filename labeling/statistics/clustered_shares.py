"""Shares of pairs with intervals that know that the pairs of one ranking belong together."""

from typing import Any

import numpy as np
import pandas as pd

from labeling.statistics.student import student_quantiles
from labeling.statistics.wilson import NORMAL, wilson

COLUMNS = ("value", "low", "high", "n")


def clustered_shares(hits: Any, of: Any, group: Any) -> pd.DataFrame:
    """Return the share of hits of each group, with a 95 % interval; indexed by group, ascending.

    `hits` and `of` (N,) are counts of one judgment each, `group` (N,) names whose it is. Columns:
    value, low, high (None where there is nothing), n (the sum of `of`). The interval is Wilson's
    (1927, Journal of the American Statistical Association 22, 209-212) at the effective sample
    size n_eff = p(1-p)/var, var being that of a ratio of sums over judgments, as Korn and Graubard
    1998 (Survey Methodology 24, 193-201) have it for samples in clusters, with Student's t for the
    normal quantile, as they do; where all or none are hits, no variance is estimated, n_eff is the
    number of judgments, and the quantile normal.
    """
    names, code = np.unique(np.asarray(group), return_inverse=True)
    hit, size = np.asarray(hits, dtype=float), np.asarray(of, dtype=float)
    count = len(names)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(code, weights=values, minlength=count).astype(float)

    total, trials, clusters = sums(hit), sums(size), sums((size > 0) * 1.0)
    share = np.divide(total, trials, out=np.zeros(count), where=trials > 0)
    left = hit - share[code] * size
    spread = share * (1 - share)
    variance = sums(left**2) * clusters / np.maximum(clusters - 1, 1)
    variance /= np.maximum(trials, 1.0) ** 2
    known = (spread > 1e-12) & (variance > 1e-15) & (clusters > 1)
    effective = np.divide(spread, variance, out=clusters.copy(), where=known)
    effective = np.clip(effective, np.minimum(clusters, 1.0), trials)
    student = student_quantiles(np.maximum(clusters - 1, 1).astype(int))
    low, high = wilson(share, effective, np.where(known, student, NORMAL))
    found = pd.DataFrame({"value": share, "low": low, "high": high}, index=names).astype(object)
    found[trials == 0] = None
    return found.assign(n=trials.astype(int))
