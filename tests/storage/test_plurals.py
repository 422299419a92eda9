"""Counts in words."""

import pytest

from labeling.statistics.figure import Figure
from storage.plurals import counted, form


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 tasks"), (1, "1 task"), (2, "2 tasks"), (12345, "12,345 tasks")]
)
def test_one_is_not_many(count: int, said: str) -> None:
    assert counted(count, "task") == said


def test_a_plural_of_its_own_and_words_that_go_with_it() -> None:
    assert (counted(1, "policy", "policies"), counted(2, "policy", "policies")) == (
        "1 policy",
        "2 policies",
    )
    assert [form(number, "is", "are") for number in (0, 1, 2)] == ["are", "is", "are"]


@pytest.mark.parametrize(
    ("n", "of", "said"),
    [
        (1, "pairs of ratings", "1 pair of ratings"),
        (1, "ranked pairs", "1 ranked pair"),
        (1, "tasks ranked twice or more", "1 task ranked twice or more"),
        (1200, "units rated twice or more", "1,200 units rated twice or more"),
    ],
)
def test_what_a_figure_rests_on(n: int, of: str, said: str) -> None:
    assert Figure(0.5, n, of).rests_on == said
