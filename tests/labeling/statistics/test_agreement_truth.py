"""Published figures, each with its data, source and tolerance in agreement_truth.json."""

import gzip
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labeling.statistics.agreement import Level, krippendorff_alpha, pairwise_agreement
from labeling.statistics.kappa import cohen_kappa, fleiss_kappa
from labeling.statistics.rank_correlation import kendall_w
from labeling.statistics.rankings import rankings_of
from labeling.statistics.unit_counts import UnitCounts

DATA = Path(__file__).parent / "data"
TRUTH = {one["id"]: one for one in json.loads((DATA / "agreement_truth.json").read_text())}
#: Of these the tests of reliability models have the truth.
OF_MODELS = ("bt_", "choix_", "dawid_skene_")


def alpha_of(level: Level) -> Callable[[Any], Any]:
    def measured(matrix: list[list[float | None]]) -> float | None:
        rows = [
            (unit, annotator, value)
            for annotator, values in enumerate(matrix)
            for unit, value in enumerate(values)
            if value is not None
        ]
        ratings = pd.DataFrame(rows, columns=["unit", "annotator_id", "value"])
        return krippendorff_alpha(ratings, level).value

    return measured


def fleiss(table: list[list[int]]) -> float | None:
    counts = np.array(table, dtype=np.int32)
    return fleiss_kappa(UnitCounts(counts, np.arange(len(counts)), np.arange(5))).value


def cohen_with_error(table: list[list[int]]) -> list[Any]:
    found = cohen_kappa(table)
    return [found.value, found.standard_error, found.low, found.high]


def second_and_third(ratings: list[list[int]]) -> pd.DataFrame:
    """Cross the second rater's scores with the third's, over the scores that either gave."""
    _, two, three = np.array(ratings).T
    scores = np.union1d(two, three)
    return pd.crosstab(two, three).reindex(index=scores, columns=scores, fill_value=0)


def anxiety_concordance(ratings: list[list[int]]) -> list[Any]:
    # R's irr ranks each rater's scores over the 20 subjects.
    scores = np.array(ratings).T
    raters, subjects = scores.shape
    rankings = rankings_of(
        np.zeros(raters, int), np.arange(raters), scores, np.full(raters, subjects)
    )
    w = kendall_w(rankings).value
    assert w is not None
    return [w, raters * (subjects - 1) * w]


def pandalm() -> pd.DataFrame:
    with gzip.open(DATA / "pandalm_multi_annotator.jsonl.gz", "rt") as file:
        return pd.DataFrame(map(json.loads, file))


def pandalm_cohen(_: object) -> list[Any]:
    wide = pandalm().pivot(index="task_id", columns="annotator_id", values="label")
    return [
        cohen_kappa(pd.crosstab(wide[one], wide[other])).value
        for one, other in combinations(sorted(wide.columns), 2)
    ]


def pandalm_alpha_fleiss_agreement(_: object) -> list[Any]:
    ratings = pandalm().rename(columns={"task_id": "unit", "label": "value"})
    figures = (
        krippendorff_alpha(ratings, "nominal"),
        fleiss_kappa(ratings),
        pairwise_agreement(ratings),
    )
    return [figure.value for figure in figures]


MEASURED: dict[str, Callable[[Any], Any]] = {
    "kripp_C_nominal": alpha_of("nominal"),
    "kripp_C_interval": alpha_of("interval"),
    "kripp_C_ratio": alpha_of("ratio"),
    "kripp_wiki_nominal": alpha_of("nominal"),
    "kripp_wiki_interval": alpha_of("interval"),
    "fleiss_wikipedia": fleiss,
    "cohen_sas_3x3": cohen_with_error,
    "cohen_sas_3x3_linear": lambda table: cohen_kappa(table, "linear").value,
    "cohen_anxiety_r2r3_unweighted": lambda rows: cohen_kappa(second_and_third(rows)).value,
    "cohen_anxiety_r2r3_equal": lambda rows: cohen_kappa(second_and_third(rows), "linear").value,
    "kendall_w_anxiety": anxiety_concordance,
    "pandalm_cohen_pairs": pandalm_cohen,
    "pandalm_alpha_fleiss": pandalm_alpha_fleiss_agreement,
}


def test_every_entry_has_a_test() -> None:
    of_agreement = {name for name in TRUTH if not name.startswith(OF_MODELS)}
    assert of_agreement == set(MEASURED)


@pytest.mark.parametrize("name", MEASURED)
def test_the_published_figure_is_reproduced(name: str) -> None:
    entry = TRUTH[name]
    measured = np.atleast_1d(MEASURED[name](entry["input"]))
    # PandaLM's alpha was never published: its recomputation elsewhere is the truth.
    wanted = entry["published"] if entry["published"] is not None else entry["recomputed"]
    # Of Kendall's W the third number is a p-value, which we do not give.
    wanted = np.atleast_1d(wanted)[: len(measured)]
    tolerance = np.broadcast_to(entry["tolerance"], np.shape(entry["recomputed"]) or 1)
    assert len(wanted) == len(measured)
    for one, other, within in zip(measured, wanted, tolerance, strict=False):
        assert one == pytest.approx(other, abs=within, rel=0)
    again = np.atleast_1d(entry["recomputed"])[: len(measured)]
    assert measured.astype(float) == pytest.approx(again, abs=1e-9, rel=0)
