"""Position bias: does the place in which a completion was shown decide how it is ranked?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from labeling.statistics.clustered_shares import clustered_shares
from labeling.statistics.judgment_columns import JudgmentColumns


@dataclass(frozen=True)
class PositionBias:
    """Hold how often the completion shown first wins, against what chance gives.

    Every row has value, low, high (95 %), n (judgments) and chance (the mean of 1/K): `overall`
    one row, `annotators` indexed by annotator_id, `places` indexed by K and place, from 0: how
    often what was shown there wins. `biased` is true where chance lies outside the interval.
    """

    overall: pd.DataFrame
    annotators: pd.DataFrame
    places: pd.DataFrame


def position_bias(columns: JudgmentColumns) -> PositionBias:
    """Measure the share of judgments in which the first-shown completion is ranked best.

    Completions tied for best share the win. Display orders are drawn at random, so without bias
    the share is 1/K; one judgment is one trial, so the interval is Wilson's. Imported judgments
    are left out: nobody knows in which order those annotators saw the completions.
    """
    columns = columns.where(~columns.imported)
    wins = _wins_by_place(columns)
    chance = 1.0 / np.maximum(columns.k, 1)
    first = wins[:, 0]
    everyone = np.zeros(len(columns), dtype=int)
    return PositionBias(
        overall=_rows(first, chance, everyone),
        annotators=_rows(first, chance, columns.annotator_id),
        places=_places(wins, columns.k),
    )


def _wins_by_place(columns: JudgmentColumns) -> np.ndarray:
    """Return (N, K): the share of the win that each place has; a place that was not has none.

    K is the most completions of any.
    """
    order = columns.display_order[:, : max(1, int(columns.k.max(initial=1)))].astype(int)
    shown = order >= 0
    ranks = np.take_along_axis(columns.ranks, np.maximum(order, 0), axis=1)
    best = shown & (ranks == 1)
    return best / np.maximum(best.sum(axis=1, keepdims=True), 1)


def _rows(wins: np.ndarray, chance: np.ndarray, group: np.ndarray) -> pd.DataFrame:
    found = clustered_shares(wins, np.ones(len(wins)), group)
    names, code = np.unique(group, return_inverse=True)
    sums = np.bincount(code, weights=chance, minlength=len(names))
    found["chance"] = sums / np.maximum(found["n"].to_numpy(), 1)
    return found.assign(
        biased=(found["low"].astype(float) > found["chance"])
        | (found["high"].astype(float) < found["chance"])
    )


def _places(wins: np.ndarray, k: np.ndarray) -> pd.DataFrame:
    tables = []
    for size in np.unique(k).tolist():
        rows = wins[k == size, :size]
        chance = np.full(len(rows), 1.0 / size)
        found = pd.concat(
            [_rows(rows[:, place], chance, np.full(len(rows), place)) for place in range(size)]
        )
        found.index = pd.MultiIndex.from_product([[size], found.index], names=["k", "place"])
        tables.append(found)
    if not tables:
        return pd.DataFrame(columns=["value", "low", "high", "n", "chance", "biased"])
    return pd.concat(tables)
