"""What the libraries do with the numbers of `benchmarks.agreement`; runs in their own environment.

    PEERS/bin/python agreement_peers.py NAME DATA.npz OUT.npz

Writes what was found and the processor seconds that it took; reading the data is not counted.
"""

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

warnings.filterwarnings("ignore")


def krippendorff_alpha(data: Any) -> Callable[[], dict[str, Any]]:
    import krippendorff

    counts = data["counts"]

    def measure() -> dict[str, Any]:
        return {
            level: krippendorff.alpha(value_counts=counts, level_of_measurement=level)
            for level in ("nominal", "ordinal")
        }

    return measure


def majority(data: Any) -> Callable[[], dict[str, Any]]:
    from crowdkit.aggregation import MajorityVote

    table = _labels(data)

    def measure() -> dict[str, Any]:
        shares = MajorityVote().fit_predict_proba(table).sort_index()
        return {"shares": shares[sorted(shares.columns)].to_numpy()}

    return measure


def dawid_skene(data: Any) -> Callable[[], dict[str, Any]]:
    from crowdkit.aggregation import DawidSkene

    table, iterations = _labels(data), int(data["iterations"])

    def measure() -> dict[str, Any]:
        # Its own tolerance stops it early; below zero it makes all of its iterations.
        fitted = DawidSkene(n_iter=iterations, tol=-1e9).fit(table)
        shares = fitted.probas_.sort_index()
        return {"shares": shares[sorted(shares.columns)].to_numpy()}

    return measure


def dawid_skene_default(data: Any) -> Callable[[], dict[str, Any]]:
    from crowdkit.aggregation import DawidSkene

    table = _labels(data)

    def measure() -> dict[str, Any]:
        shares = DawidSkene(n_iter=100).fit(table).probas_.sort_index()
        return {"shares": shares[sorted(shares.columns)].to_numpy()}

    return measure


def bradley_terry(data: Any) -> Callable[[], dict[str, Any]]:
    import choix

    pairs = np.column_stack([data["better"], data["worse"]]).tolist()
    items = int(data["items"])

    def measure() -> dict[str, Any]:
        return {"scores": choix.ilsr_pairwise(items, pairs, alpha=0.0)}

    return measure


def bradley_terry_crowd_kit(data: Any) -> Callable[[], dict[str, Any]]:
    from crowdkit.aggregation import BradleyTerry

    table = _pairs(data)

    def measure() -> dict[str, Any]:
        return {"scores": np.log(BradleyTerry(n_iter=1000).fit(table).scores_.sort_index())}

    return measure


def crowd_bradley_terry(data: Any) -> Callable[[], dict[str, Any]]:
    from crowdkit.aggregation import NoisyBradleyTerry

    table = _pairs(data)

    def measure() -> dict[str, Any]:
        fitted = NoisyBradleyTerry(n_iter=100, random_state=0).fit(table)
        return {
            "scores": fitted.scores_.sort_index().to_numpy(),
            "ability": fitted.skills_.sort_index().to_numpy(),
        }

    return measure


def plackett_luce(data: Any) -> Callable[[], dict[str, Any]]:
    import choix

    orders = np.argsort(data["ranks"], axis=1).tolist()
    items = data["ranks"].shape[1]

    def measure() -> dict[str, Any]:
        return {"scores": choix.ilsr_rankings(items, orders, alpha=0.0)}

    return measure


def _labels(data: Any) -> Any:
    import pandas

    return pandas.DataFrame({"task": data["unit"], "worker": data["rater"], "label": data["label"]})


def _pairs(data: Any) -> Any:
    import pandas

    better, worse = data["better"], data["worse"]
    swap = np.arange(len(better)) % 2 == 0
    return pandas.DataFrame(
        {
            "worker": data["pair_rater"],
            "left": np.where(swap, better, worse),
            "right": np.where(swap, worse, better),
            "label": better,
        }
    )


def run(tasks: dict[str, Callable[[Any], Callable[[], dict[str, Any]]]]) -> None:
    """Do what the command line asks for, and write seconds and findings."""
    name, source, target = sys.argv[1:]
    data = dict(np.load(source))
    measure = tasks[name](data)
    began = time.process_time()
    found = measure()
    seconds = time.process_time() - began
    np.savez(target, seconds=seconds, **found)


TASKS = {
    one.__name__: one
    for one in (
        *(krippendorff_alpha, majority, dawid_skene, dawid_skene_default, bradley_terry),
        *(bradley_terry_crowd_kit, crowd_bradley_terry, plackett_luce),
    )
}

if __name__ == "__main__":
    run(TASKS)
