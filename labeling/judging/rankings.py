"""Rankings as lists of ranks: 1 is best, equal ranks are a tie, `ranks[i]` is of position i."""

from collections.abc import Sequence
from itertools import combinations
from typing import TypeVar

from storage.errors import BadInput

Answer = TypeVar("Answer")


def validate_ranks(ranks: object, k: int) -> list[int]:
    """Return the ranks as a dense list where they rank `k` completions; else raise `BadInput`.

    Whole numbers from 1 to k with a 1 among them fit: dense ranks (1, 1, 2) and competition ranks
    (1, 1, 3) alike.
    """
    if isinstance(ranks, str | bytes) or not isinstance(ranks, Sequence):
        raise BadInput("The ranks must be a list of whole numbers, one for each completion.")
    if len(ranks) != k:
        raise BadInput(
            f"The ranking has {len(ranks)} ranks, but the task has {k} completions; "
            "rank each of them once."
        )
    for position, rank in enumerate(ranks):
        if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= k:
            raise BadInput(
                f"The rank at position {position} is {rank!r}; ranks are whole numbers "
                f"from 1 to {k}."
            )
    if 1 not in ranks:
        raise BadInput("No completion has rank 1; give the best one, or several, rank 1.")
    return dense_ranks(ranks)


def dense_ranks(ranks: Sequence[int]) -> list[int]:
    """Return the same order with ranks 1, 2, 3 … and no gap after a tie."""
    dense = {rank: place for place, rank in enumerate(sorted(set(ranks)), start=1)}
    return [dense[rank] for rank in ranks]


def pairs_of(ranks: Sequence[int]) -> list[tuple[int, int]]:
    """Return every (better, worse) pair of positions; tied positions make no pair."""
    pairs = []
    for i, j in combinations(range(len(ranks)), 2):
        if ranks[i] < ranks[j]:
            pairs.append((i, j))
        elif ranks[j] < ranks[i]:
            pairs.append((j, i))
    return pairs


def ties_of(ranks: Sequence[int]) -> list[tuple[int, int]]:
    """Return every tied pair of positions, the lower position first."""
    return [(i, j) for i, j in combinations(range(len(ranks)), 2) if ranks[i] == ranks[j]]


def ranks_from_places(display_order: Sequence[int], ranks_by_place: Sequence[int]) -> list[int]:
    """Turn ranks in the order shown into ranks in task position order.

    `display_order[j]` is the task position shown in place j; `ranks_by_place[j]` its rank.
    Raises `BadInput` where the lengths differ.
    """
    if len(display_order) != len(ranks_by_place):
        raise BadInput(
            f"The ranking has {len(ranks_by_place)} ranks, but {len(display_order)} completions "
            "were shown; rank each of them once."
        )
    return positions_from_places(display_order, ranks_by_place)


def positions_from_places(display_order: Sequence[int], by_place: Sequence[Answer]) -> list[Answer]:
    """Turn answers in the order shown into answers in task position order.

    Raises `BadInput` where the lengths differ.
    """
    if len(display_order) != len(by_place):
        raise BadInput(
            f"There are {len(by_place)} answers, but {len(display_order)} completions were shown; "
            "load the page again."
        )
    by_position = dict(zip(display_order, by_place, strict=True))
    return [by_position[position] for position in range(len(display_order))]


def places_from_ranks(display_order: Sequence[int], ranks: Sequence[int]) -> list[int]:
    """Turn ranks in task position order into ranks in the order shown."""
    return [ranks[position] for position in display_order]


def order_in_words(ranks: Sequence[int], letters: str = "ABCDEFGHI") -> str:
    """Return the order as "B > A = D > C", best first; `letters[i]` names what has `ranks[i]`."""
    groups = [
        " = ".join(letters[i] for i, rank in enumerate(ranks) if rank == wanted)
        for wanted in sorted(set(ranks))
    ]
    return " > ".join(groups)
