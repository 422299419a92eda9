"""Places, positions and pairs: whatever the order shown, one ranking comes out of it."""

from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.judging.rankings import (
    dense_ranks,
    order_in_words,
    pairs_of,
    places_from_ranks,
    positions_from_places,
    ranks_from_places,
    ties_of,
    validate_ranks,
)
from labeling.work_queue.assignment import display_order
from storage.errors import BadInput


@st.composite
def shown(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Draw an order of 2 to 9 completions on the screen and a rank for each place."""
    k = draw(st.integers(2, 9))
    order = display_order(draw(st.integers(0, 2**31 - 1)), k)
    ranks = draw(st.lists(st.integers(1, k), min_size=k, max_size=k))
    return order, dense_ranks(ranks)


@given(shown())
def test_every_pair_on_the_screen_is_the_stored_pair(task: tuple[list[int], list[int]]) -> None:
    order, by_place = task
    stored = validate_ranks(ranks_from_places(order, by_place), len(order))
    on_screen = {
        (order[one], order[other])
        for one, other in permutations(range(len(order)), 2)
        if by_place[one] < by_place[other]
    }
    assert set(pairs_of(stored)) == on_screen
    count = len(order) * (len(order) - 1) // 2
    assert len(on_screen) + len(ties_of(stored)) == count


@given(shown())
def test_there_and_back(task: tuple[list[int], list[int]]) -> None:
    order, by_place = task
    assert sorted(order) == list(range(len(order)))
    assert places_from_ranks(order, ranks_from_places(order, by_place)) == by_place
    answers: list[str | None] = [None, *(f"answer {place}" for place in order[1:])]
    back = positions_from_places(order, answers)
    assert [back[position] for position in order] == answers


@given(shown())
def test_the_words_name_every_pair(task: tuple[list[int], list[int]]) -> None:
    _, ranks = task
    groups = [set(group.split(" = ")) for group in order_in_words(ranks).split(" > ")]
    letters = "ABCDEFGHI"
    for one, other in combinations(range(len(ranks)), 2):
        at = [
            next(i for i, group in enumerate(groups) if letters[j] in group) for j in (one, other)
        ]
        assert (at[0] < at[1]) == (ranks[one] < ranks[other])
        assert (at[0] == at[1]) == (ranks[one] == ranks[other])


@pytest.mark.parametrize("answers", [[], [1], [1, 2, 3]])
def test_answers_that_are_not_one_a_place_are_refused(answers: list[int]) -> None:
    with pytest.raises(BadInput):
        positions_from_places([1, 0], answers)
