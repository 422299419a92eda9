import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.consolidation.ranked_pairs import ranked_pairs

MARGINS = some.lists(some.integers(-5, 5), min_size=6, max_size=6)


def wins_of_margins(margins: list[int]) -> np.ndarray:
    """Return (1, 4, 4) with margins of the pairs 01, 02, 03, 12, 13, 23."""
    wins = np.zeros((1, 4, 4))
    first, second = np.triu_indices(4, 1)
    wins[0, first, second] = np.maximum(margins, 0)
    wins[0, second, first] = np.maximum(np.negative(margins), 0)
    return wins


def test_the_example_of_tennessee() -> None:
    # Memphis, Nashville, Chattanooga, Knoxville; 42, 26, 15 and 17 voters of 100 live near each.
    orders = {42: [0, 1, 2, 3], 26: [1, 2, 3, 0], 15: [2, 3, 1, 0], 17: [3, 2, 1, 0]}
    wins = np.zeros((1, 4, 4))
    for voters, order in orders.items():
        for place, better in enumerate(order):
            for worse in order[place + 1 :]:
                wins[0, better, worse] += voters
    assert ranked_pairs(wins)[0].tolist() == [4, 1, 2, 3]


def test_the_weakest_side_of_a_circle_gives_way() -> None:
    # 0 > 1 by 5, 1 > 2 by 4, 2 > 0 by 3; all above 3.
    assert ranked_pairs(wins_of_margins([5, -3, 2, 4, 2, 2]))[0].tolist() == [1, 2, 3, 4]


def test_a_circle_of_equal_sides_is_a_tie() -> None:
    assert ranked_pairs(wins_of_margins([2, -2, 2, 2, 2, 2]))[0].tolist() == [1, 1, 1, 2]


@given(MARGINS, some.permutations(range(4)))
@settings(max_examples=60)
def test_names_make_no_difference(margins: list[int], order: list[int]) -> None:
    wins = wins_of_margins(margins)
    found = ranked_pairs(wins)[0]
    again = ranked_pairs(wins[:, order][:, :, order])[0]
    assert again.tolist() == found[order].tolist()


@given(some.lists(some.integers(1, 4), min_size=4, max_size=4))
@settings(max_examples=60)
def test_a_majority_that_is_an_order_is_kept(ranks: list[int]) -> None:
    first, second = np.triu_indices(4, 1)
    margins = [ranks[j] - ranks[i] for i, j in zip(first, second, strict=True)]
    found = ranked_pairs(wins_of_margins(margins))[0]
    assert found.tolist() == [sorted({*ranks}).index(rank) + 1 for rank in ranks]


@given(MARGINS)
@settings(max_examples=60)
def test_a_condorcet_winner_wins(margins: list[int]) -> None:
    wins = wins_of_margins(margins)[0]
    for one in range(4):
        if all(wins[one, other] > wins[other, one] for other in range(4) if other != one):
            assert ranked_pairs(wins[None])[0][one] == 1
