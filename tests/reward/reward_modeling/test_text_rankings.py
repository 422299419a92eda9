"""Rankings as comparisons: which count, and how much."""

import pytest

from reward.reward_modeling.text_rankings import TextRanking, comparisons_of


def test_every_prompt_and_every_ranking_counts_once() -> None:
    rankings = [
        TextRanking("a", ["x", "y", "z"], [1, 2, 3], group=1),
        TextRanking("a", ["x", "y"], [2, 1], group=1),
        TextRanking("b", ["x", "y"], [1, 1], group=2),
        TextRanking("c", ["x", "y"], [1, 2], group=3),
    ]
    found = comparisons_of(rankings)
    assert found.better.tolist() == [0, 0, 1, 4, 7]
    assert found.worse.tolist() == [1, 2, 2, 3, 8]
    assert found.weights == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2, 1])
    assert found.groups.tolist() == [1, 1, 1, 1, 3]


def test_a_ranking_of_ties_alone_takes_no_weight_from_its_prompt() -> None:
    rankings = [
        TextRanking("a", ["x", "y"], [1, 2], group=1),
        # Nor does its reliability move the mean.
        TextRanking("a", ["x", "y"], [1, 1], group=1, weight=0.1),
    ]
    assert comparisons_of(rankings).weights == pytest.approx([1])


def test_reliabilities_count_relative_to_their_mean_over_the_rankings() -> None:
    def weights(*given: float) -> list[float]:
        rankings = [
            TextRanking(f"{number}", ["x", "y"], [1, 2], group=number, weight=weight)
            for number, weight in enumerate(given)
        ]
        found: list[float] = comparisons_of(rankings).weights.tolist()
        return found

    assert weights(0.2, 0.2, 0.2) == pytest.approx([1, 1, 1])
    assert weights(0.2, 0.6) == pytest.approx([0.5, 1.5])


def test_of_one_prompt_the_more_reliable_ranking_counts_more() -> None:
    rankings = [
        TextRanking("a", ["x", "y"], [1, 2], group=1, weight=0.9),
        TextRanking("a", ["x", "y"], [2, 1], group=1, weight=0.3),
        TextRanking("b", ["x", "y"], [1, 2], group=2, weight=0.6),
    ]
    assert comparisons_of(rankings).weights == pytest.approx([0.75, 0.25, 1])
