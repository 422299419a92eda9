import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.judging.rankings import (
    dense_ranks,
    pairs_of,
    places_from_ranks,
    ranks_from_places,
    ties_of,
    validate_ranks,
)
from storage.errors import BadInput

any_ranks = st.lists(st.integers(1, 9), min_size=1, max_size=9)


@st.composite
def ranks_and_order(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    ranks = draw(any_ranks)
    return ranks, list(draw(st.permutations(range(len(ranks)))))


@given(any_ranks)
def test_every_pair_is_either_strict_and_right_or_a_tie(ranks: list[int]) -> None:
    pairs, ties = pairs_of(ranks), ties_of(ranks)
    k = len(ranks)
    assert all(ranks[better] < ranks[worse] for better, worse in pairs)
    assert all(ranks[i] == ranks[j] for i, j in ties)
    assert len({frozenset(pair) for pair in pairs + ties}) == k * (k - 1) // 2
    assert len(pairs) + len(ties) == k * (k - 1) // 2


@given(any_ranks)
def test_pairs_are_transitive(ranks: list[int]) -> None:
    pairs = set(pairs_of(ranks))
    assert all((a, d) in pairs for a, b in pairs for c, d in pairs if b == c)


@given(any_ranks)
def test_dense_ranks_are_idempotent_and_keep_the_order(ranks: list[int]) -> None:
    dense = dense_ranks(ranks)
    assert dense_ranks(dense) == dense
    assert sorted(set(dense)) == list(range(1, len(set(ranks)) + 1))
    assert pairs_of(dense) == pairs_of(ranks)


@given(ranks_and_order())
def test_places_and_positions_round_trip(case: tuple[list[int], list[int]]) -> None:
    ranks, order = case
    places = places_from_ranks(order, ranks)
    assert ranks_from_places(order, places) == ranks
    assert all(places[place] == ranks[position] for place, position in enumerate(order))


def test_competition_ranks_become_dense() -> None:
    assert validate_ranks([1, 1, 3, 4], 4) == [1, 1, 2, 3]


@pytest.mark.parametrize(
    ("ranks", "says"),
    [
        ([1, 2, 3], "3 ranks, but the task has 4"),
        ([1, 2, 3, 4, 5], "5 ranks, but the task has 4"),
        ([1, 2, 3, 5], "position 3 is 5"),
        ([0, 1, 2, 3], "position 0 is 0"),
        ([1, 2, 3, -1], "position 3 is -1"),
        ([1, 2, 3, 2.5], "position 3 is 2.5"),
        ([1, 2, 3, True], "position 3 is True"),
        ([1, 2, 3, "4"], "position 3 is '4'"),
        ([1, 2, 3, None], "position 3 is None"),
        ([2, 2, 3, 4], "rank 1"),
        ("1234", "list of whole numbers"),
        (None, "list of whole numbers"),
        ({1: 1}, "list of whole numbers"),
    ],
)
def test_misfit_ranks_are_refused(ranks: object, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        validate_ranks(ranks, 4)


def test_places_of_another_length_are_refused() -> None:
    with pytest.raises(BadInput, match="2 ranks, but 3 completions"):
        ranks_from_places([2, 0, 1], [1, 2])
