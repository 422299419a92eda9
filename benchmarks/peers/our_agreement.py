"""What rankloop does with the numbers of `benchmarks.agreement`, as `agreement_peers.py` does."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.agreement_peers import run
from labeling.reliability_models.bradley_terry import bradley_terry as fit_bradley_terry
from labeling.reliability_models.crowd_bt import Comparisons
from labeling.reliability_models.crowd_bt import crowd_bradley_terry as fit_crowd
from labeling.reliability_models.dawid_skene import dawid_skene as fit_dawid_skene
from labeling.reliability_models.plackett_luce import plackett_luce as fit_plackett_luce
from labeling.reliability_models.rankings import rankings_of
from labeling.reliability_models.votes import Votes, votes_of
from labeling.statistics.agreement import krippendorff_alpha as measure_alpha
from labeling.statistics.bootstrap import Resampling
from labeling.statistics.unit_counts import UnitCounts

Measure = Callable[[], dict[str, Any]]


def krippendorff_alpha(data: Any) -> Measure:
    counts = UnitCounts(
        data["counts"].astype(np.int32), np.arange(len(data["counts"])), np.arange(3)
    )

    def measure() -> dict[str, Any]:
        return {
            level: measure_alpha(counts, level, resampling=Resampling(resamples=1)).value
            for level in ("nominal", "ordinal")
        }

    return measure


def krippendorff_alpha_with_interval(data: Any) -> Measure:
    counts = UnitCounts(
        data["counts"].astype(np.int32), np.arange(len(data["counts"])), np.arange(3)
    )
    return lambda: {level: measure_alpha(counts, level).value for level in ("nominal", "ordinal")}


def majority(data: Any) -> Measure:
    return lambda: {"shares": _votes(data).shares()}


def dawid_skene(data: Any) -> Measure:
    def measure() -> dict[str, Any]:
        found = fit_dawid_skene(_votes(data))
        return {
            "shares": found.posterior,
            "iterations": len(found.log_likelihoods),
            "converged": found.converged,
        }

    return measure


def bradley_terry(data: Any) -> Measure:
    items = int(data["items"])

    def measure() -> dict[str, Any]:
        key = data["better"] * items + data["worse"]
        wins = np.bincount(key, minlength=items * items).reshape(1, items, items).astype(float)
        return {"scores": fit_bradley_terry(wins, precision=0.0).scores[0]}

    return measure


def crowd_bradley_terry(data: Any) -> Measure:
    def measure() -> dict[str, Any]:
        said = Comparisons.of_pairs(
            data["better"], data["worse"], data["pair_rater"], items=int(data["items"])
        )
        raters = int(data["pair_rater"].max()) + 1
        found = fit_crowd([said], raters=raters, precision=0.1)
        return {"scores": found.scores[0][0], "ability": found.ability}

    return measure


def plackett_luce(data: Any) -> Measure:
    ranks = data["ranks"]
    count, k = ranks.shape

    def measure() -> dict[str, Any]:
        rankings = rankings_of(np.zeros(count), np.zeros(count), ranks, k=np.full(count, k))
        return {"scores": fit_plackett_luce(rankings.blocks[0], prior_shape=1.0).scores[0]}

    return measure


def _votes(data: Any) -> Votes:
    return votes_of(data["unit"], data["rater"], data["label"], classes=[0, 1, 2])


TASKS: dict[str, Callable[[Any], Measure]] = {
    one.__name__: one
    for one in (
        *(krippendorff_alpha, krippendorff_alpha_with_interval, majority, dawid_skene),
        *(bradley_terry, crowd_bradley_terry, plackett_luce),
    )
}

if __name__ == "__main__":
    run(TASKS)
