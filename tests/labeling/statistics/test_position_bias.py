from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.statistics.position_bias import position_bias
from tests.labeling.statistics.judged_columns import columns_of


def draw(first_share: float, judgments: int, seed: int) -> tuple[list[list[int]], list[list[int]]]:
    """Return ranks and display orders where what is shown first wins by `first_share` more."""
    rng = np.random.default_rng(seed)
    ranks, shown = [], []
    for _ in range(judgments):
        order = rng.permutation(4)
        merit = rng.permutation(4).astype(float)
        if rng.random() < first_share:
            merit[order[0]] = 9.0
        shown.append(order.tolist())
        ranks.append((np.argsort(np.argsort(-merit)) + 1).tolist())
    return ranks, shown


def test_a_bias_that_was_planted_is_found() -> None:
    fair, fair_shown = draw(0.0, 400, 1)
    biased, biased_shown = draw(0.4, 400, 2)
    found = position_bias(
        columns_of(
            range(800), [1] * 400 + [2] * 400, fair + biased, shown=fair_shown + biased_shown
        )
    )
    one, two = found.annotators.loc[1], found.annotators.loc[2]
    assert (one["chance"], one["biased"]) == (0.25, False)
    assert two["biased"] and two["value"] == pytest.approx(0.4 + 0.6 / 4, abs=0.06)
    assert two["low"] < two["value"] < two["high"]
    assert found.overall.iloc[0]["n"] == 800
    assert found.places.loc[4]["value"].astype(float).sum() == pytest.approx(1.0)


def test_places_are_those_shown_and_not_those_stored() -> None:
    found = position_bias(columns_of([1, 2], [1, 1], [[2, 1], [2, 1]], shown=[[1, 0], [1, 0]]))
    assert found.overall.iloc[0]["value"] == 1.0
    assert found.places["value"].tolist() == [1.0, 0.0]


@given(some.lists(some.lists(some.integers(1, 3), min_size=3, max_size=3), min_size=1, max_size=9))
@settings(max_examples=40)
def test_the_win_of_a_judgment_is_shared_out_whole(ranks: list[list[int]]) -> None:
    dense = [[sorted({*one}).index(rank) + 1 for rank in one] for one in ranks]
    found = position_bias(columns_of(range(len(dense)), [1] * len(dense), dense))
    assert found.places["value"].astype(float).sum() == pytest.approx(1.0)


def test_completions_of_unlike_numbers_have_their_own_chance() -> None:
    found = position_bias(columns_of([1, 2], [1, 1], [[1, 2], [1, 2, 3, 4]]))
    assert found.overall.iloc[0]["chance"] == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_no_judgment_no_figure() -> None:
    found = position_bias(columns_of([], [], []))
    assert found.overall.empty and found.annotators.empty and found.places.empty


def test_imported_judgments_say_nothing_of_places() -> None:
    columns = columns_of(range(4), [1] * 4, [[1, 2]] * 4, shown=[[0, 1]] * 4)
    half = replace(columns, imported=np.array([False, False, True, True]))
    assert position_bias(half).overall.iloc[0]["n"] == 2
