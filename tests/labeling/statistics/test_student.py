import numpy as np
import pytest

from labeling.statistics.student import student_quantile, student_quantiles


def test_the_quantiles_of_student_are_those_of_the_tables() -> None:
    tables = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042, 120: 1.980}
    for freedom, quantile in tables.items():
        assert student_quantile(freedom) == pytest.approx(quantile, rel=1.5e-3)


def test_many_at_once_are_as_each_alone() -> None:
    found = student_quantiles(np.array([5, 1, 5, 30]))
    assert found.tolist() == [student_quantile(one) for one in (5, 1, 5, 30)]
    assert student_quantiles(np.zeros(0, dtype=int)).tolist() == []
