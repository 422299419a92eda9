import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.reliability_models.rankings import rankings_of
from labeling.statistics.leave_one_out import leave_one_out

JUDGED = some.lists(
    some.tuples(
        some.integers(0, 2), some.integers(0, 4),
        some.lists(some.integers(1, 3), min_size=3, max_size=3),
    ),
    min_size=1, max_size=12, unique_by=lambda one: one[:2],
)  # fmt: skip


def measure(said: list[tuple[int, int, list[int]]]) -> tuple[list[float], list[float]]:
    tasks, raters, ranks = zip(*said, strict=True)
    agreed, of = leave_one_out(rankings_of(tasks, raters, list(ranks)), len(said))
    return agreed.tolist(), of.tolist()


def test_by_hand() -> None:
    said = [(0, 0, [1, 2]), (0, 1, [1, 2]), (0, 2, [2, 1]), (1, 0, [1, 2])]
    agreed, of = measure(said)
    # Of the first two, the others are one each way; the third is against both; the last is alone.
    assert agreed == [0.5, 0.5, 0.0, 0.0]
    assert of == [1.0, 1.0, 1.0, 0.0]


@given(JUDGED)
@settings(max_examples=40)
def test_as_slowly_counted(said: list[tuple[int, int, list[int]]]) -> None:
    agreed, of = measure(said)
    for row, (task, rater, ranks) in enumerate(said):
        others = [r for t, a, r in said if t == task and a != rater]
        expected = 0.0
        for i, j in ((0, 1), (0, 2), (1, 2)):
            outcomes = [np.sign(r[j] - r[i]) for r in others]
            best = max((outcomes.count(one) for one in outcomes), default=0)
            top = {one for one in outcomes if outcomes.count(one) == best}
            expected += (np.sign(ranks[j] - ranks[i]) in top) / max(1, len(top))
        assert agreed[row] == pytest.approx(expected)
        assert of[row] == (3 if others else 0)


def test_the_own_second_judgment_is_no_other() -> None:
    agreed, of = measure([(0, 0, [1, 2]), (0, 0, [1, 2]), (0, 1, [2, 1])])
    assert (agreed, of) == ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
