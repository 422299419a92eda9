import numpy as np
import pytest

from labeling.statistics.drift import by_week, drift, weeks_of
from tests.labeling.statistics.judged_columns import columns_of


def test_weeks_begin_on_monday() -> None:
    found = weeks_of(columns_of([1, 2, 3], [1, 1, 1], [[1, 2]] * 3, days=[0, 6, 7]))
    assert [str(one) for one in found] == ["2026-01-05", "2026-01-05", "2026-01-12"]


def test_a_planted_slope_comes_back() -> None:
    rng = np.random.default_rng(0)
    week = np.repeat(np.arange(10), 60)
    columns = columns_of(
        range(1200), [1] * 600 + [2] * 600, [[1, 2]] * 1200, days=[*(week * 7), *(week * 7)]
    )
    falling = rng.random(600) < 0.9 - 0.04 * week
    level = rng.random(600) < 0.8
    found = drift(columns, np.concatenate([falling, level]).astype(float), np.ones(1200))
    assert found.loc[1, "drift"] == pytest.approx(-0.04, abs=0.015)
    assert found.loc[1, "drift_high"] < 0
    assert found.loc[2, "drift_low"] < 0 < found.loc[2, "drift_high"]


def test_one_week_says_nothing_of_drift() -> None:
    columns = columns_of([1, 2, 3], [1, 1, 2], [[1, 2]] * 3, days=[0, 1, 9])
    found = drift(columns, np.ones(3), np.ones(3))
    assert found["drift"].tolist() == [None, None]


def test_two_judgments_say_nothing_of_drift_and_three_little() -> None:
    two = columns_of([1, 2], [1, 1], [[1, 2]] * 2, days=[0, 7])
    assert drift(two, np.array([1.0, 0.0]), np.ones(2)).loc[1].tolist() == [None] * 3
    three = columns_of([1, 2, 3], [1, 1, 1], [[1, 2]] * 3, days=[0, 7, 14])
    found = drift(three, np.array([1.0, 1.0, 0.0]), np.ones(3)).loc[1]
    # Residuals 1/6, -1/3, 1/6 of a slope of -1/2, one degree of freedom: t = 12.706.
    error = np.sqrt(3 * (1 / 36 + 1 / 36)) / 2
    assert found["drift"] == pytest.approx(-0.5)
    assert found["drift_high"] == pytest.approx(-0.5 + 12.706 * error, rel=1e-3)


def test_agreement_that_never_changed_has_no_interval() -> None:
    columns = columns_of(range(6), [1] * 6, [[1, 2]] * 6, days=[0, 7, 14, 21, 28, 35])
    found = drift(columns, np.full(6, 3.0), np.full(6, 3.0)).loc[1]
    assert found["drift"] == pytest.approx(0.0)
    assert (found["drift_low"], found["drift_high"]) == (None, None)


def test_each_week_has_its_figures() -> None:
    columns = columns_of(
        [1, 2, 3], [1, 1, 1], [[1, 2], [1, 1], [1, 2]],
        days=[0, 1, 9], milliseconds=[1000, 3000, 5000],
    )  # fmt: skip
    agreed, of = np.array([1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0])
    first, second = by_week(columns, agreed, of, np.array([0, 1, 0]), np.ones(3)).to_dict("records")
    assert (first["judgments"], first["tie_share"], first["median_seconds"]) == (2, 0.5, 2.0)
    assert (first["agreement"], first["agreement_n"]) == (0.5, 2)
    assert (second["agreement"], second["agreement_n"]) == (None, 0)
