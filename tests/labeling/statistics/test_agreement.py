import gzip
import json
from pathlib import Path

import krippendorff
import numpy as np
import pandas as pd
import pytest

from labeling.statistics.agreement import (
    agreement_by_annotator,
    krippendorff_alpha,
    pairwise_agreement,
)

DATA = Path(__file__).parent / "data"
PUBLISHED = json.loads((DATA / "krippendorff_published.json").read_text())


def ratings_of(matrix: list[list[float | None]]) -> pd.DataFrame:
    """Turn a matrix of annotators × units, None where there is no rating, into a table."""
    rows = [
        (unit, annotator, value)
        for annotator, values in enumerate(matrix)
        for unit, value in enumerate(values)
        if value is not None
    ]
    return pd.DataFrame(rows, columns=["unit", "annotator_id", "value"])


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry["id"])
def test_alpha_equals_the_published_figure(entry: dict) -> None:
    found = krippendorff_alpha(ratings_of(entry["input"]), entry["level"])
    assert found.value == pytest.approx(entry["published"], abs=entry["tolerance"])


def test_figures_on_pandalm_are_those_recomputed_elsewhere() -> None:
    with gzip.open(DATA / "pandalm_multi_annotator.jsonl.gz", "rt") as file:
        rows = pd.DataFrame(map(json.loads, file))
    ratings = rows.rename(columns={"task_id": "unit", "label": "value"})
    agreement = pairwise_agreement(ratings)
    assert agreement.value == pytest.approx(0.91991991991992)
    assert agreement.n == 999 * 3
    alpha = krippendorff_alpha(ratings, "nominal")
    assert alpha.value == pytest.approx(0.8642206851960816)
    assert alpha.n == 999


def test_unanimity_is_one() -> None:
    ratings = ratings_of([[1, -1, 0, 1], [1, -1, 0, 1], [1, -1, None, 1]])
    assert pairwise_agreement(ratings).value == 1.0
    assert krippendorff_alpha(ratings, "nominal").value == pytest.approx(1.0)
    assert krippendorff_alpha(ratings, "ordinal").value == pytest.approx(1.0)


def test_chance_is_near_zero() -> None:
    random = np.random.default_rng(5)
    ratings = ratings_of(random.integers(-1, 2, size=(3, 4000)).tolist())
    found = krippendorff_alpha(ratings, "nominal")
    assert found.value == pytest.approx(0.0, abs=0.03)
    assert pairwise_agreement(ratings).value == pytest.approx(1 / 3, abs=0.03)


def test_opposites_are_below_zero() -> None:
    alpha = krippendorff_alpha(ratings_of([[1, -1] * 20, [-1, 1] * 20]), "nominal")
    assert alpha.value is not None and alpha.value < -0.9


def test_agreement_of_a_hand_worked_table() -> None:
    # Unit 0: a, a, b → 1 of 3 pairs; unit 1: a, b → 0 of 1; unit 2 has one rating.
    ratings = ratings_of([[1, 1, 1], [1, 2, None], [2, None, None]])
    found = pairwise_agreement(ratings)
    assert (found.value, found.n) == (0.25, 4)
    by_annotator = agreement_by_annotator(ratings)
    assert by_annotator["n"].tolist() == [3, 3, 2]
    assert by_annotator["agreement"].tolist() == pytest.approx([1 / 3, 1 / 3, 0.0])


@pytest.mark.parametrize("matrix", [[], [[1, 2, 3]], [[1, None], [None, 2]]])
def test_without_a_shared_unit_nothing_is_measured(matrix: list) -> None:
    ratings = ratings_of(matrix)
    assert (pairwise_agreement(ratings).value, pairwise_agreement(ratings).n) == (None, 0)
    alpha = krippendorff_alpha(ratings, "nominal")
    assert (alpha.value, alpha.n) == (None, 0)
    assert agreement_by_annotator(ratings).empty


def test_alpha_is_not_defined_where_all_ratings_are_equal() -> None:
    found = krippendorff_alpha(ratings_of([[1, 1], [1, 1]]), "nominal")
    assert (found.value, found.n) == (None, 2)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
@pytest.mark.parametrize("seed", range(5))
def test_alpha_equals_the_library(level: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    matrix = generator.integers(1, 6, size=(4, 30)).astype(float)
    matrix[generator.random(matrix.shape) < 0.3] = np.nan
    rows = [[None if np.isnan(value) else value for value in row] for row in matrix]
    theirs = krippendorff.alpha(reliability_data=matrix, level_of_measurement=level)
    assert krippendorff_alpha(ratings_of(rows), level).value == pytest.approx(theirs)
