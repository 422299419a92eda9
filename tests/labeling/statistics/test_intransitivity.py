import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.reliability_models.rankings import rankings_of
from labeling.statistics.intransitivity import majority_circles, own_circles

PAIRS = some.lists(
    some.tuples(some.integers(1, 2), some.integers(1, 20), some.permutations(range(4))),
    max_size=12,
)


def test_condorcets_paradox_is_told_once() -> None:
    rankings = rankings_of(
        [5, 5, 5, 6], [1, 2, 3, 1], [[1, 2, 3, 4], [3, 1, 2, 4], [2, 3, 1, 4], [1, 2, 3, 4]]
    )
    found = majority_circles(rankings)
    assert found.to_dict("records") == [
        {"task_id": 5, "judgments": 3, "first": 0, "second": 1, "third": 2}
    ]


def test_a_circle_over_tasks_is_found() -> None:
    pairs = pd.DataFrame(
        [(1, 11, 10, 20), (1, 12, 20, 30), (1, 13, 30, 10), (2, 11, 10, 20), (2, 12, 20, 30)],
        columns=["annotator_id", "task_id", "better", "worse"],
    )
    assert own_circles(pairs).to_dict("records") == [
        {"annotator_id": 1, "first": 10, "second": 20, "third": 30, "tasks": [11, 12, 13]}
    ]


@given(PAIRS)
@settings(max_examples=40)
def test_as_slowly_counted(said: list[tuple[int, int, list[int]]]) -> None:
    rows = [(who, task, order[0], order[1]) for who, task, order in said]
    pairs = pd.DataFrame(rows, columns=["annotator_id", "task_id", "better", "worse"])
    found = {tuple(row[:4]) for row in own_circles(pairs).to_numpy().tolist()}
    above = {(who, better, worse) for who, _, better, worse in rows}
    expected = {
        (who, a, b, c)
        for who in (1, 2)
        for a in range(4)
        for b in range(a + 1, 4)
        for c in range(a + 1, 4)
        if {(who, a, b), (who, b, c), (who, c, a)} <= above
    }
    assert found == expected


def test_one_ranking_has_no_circle() -> None:
    assert majority_circles(rankings_of([1], [1], [[2, 1, 2, 3]])).empty
    assert majority_circles(rankings_of([], [], [])).empty
