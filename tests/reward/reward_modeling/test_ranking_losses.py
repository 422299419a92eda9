"""Losses of one ranking, against numbers worked by hand."""

import math

import pytest
import torch

from reward.reward_modeling.ranking_losses import (
    LOSSES,
    comparisons_of,
    log_sigmoid,
    margin_log_sigmoid,
    plackett_luce,
    ranking_loss,
    score_difference,
)

SCORES = torch.tensor([2.0, 1.0, 0.0])


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def cost(value: float) -> float:
    return -math.log(sigmoid(value))


def test_log_sigmoid_is_the_mean_over_the_pairs() -> None:
    # Ranks 1, 3, 2: the pairs (0, 1), (0, 2) and (2, 1) differ by 1, 2 and −1.
    said = comparisons_of([1, 3, 2])
    expected = (cost(1.0) + cost(2.0) + cost(-1.0)) / 3
    assert log_sigmoid(SCORES, said.pairs, said.targets).item() == pytest.approx(expected)


def test_two_heads_have_a_loss_each() -> None:
    said = comparisons_of([1, 3, 2])
    both = torch.stack([SCORES, 2 * SCORES])
    found = log_sigmoid(both, said.pairs, said.targets)
    expected = [
        (cost(1.0) + cost(2.0) + cost(-1.0)) / 3,
        (cost(2.0) + cost(4.0) + cost(-2.0)) / 3,
    ]
    assert found.tolist() == pytest.approx(expected)


def test_smoothing_takes_some_labels_to_be_wrong() -> None:
    said = comparisons_of([1, 2], smoothing=0.1)
    found = log_sigmoid(torch.tensor([2.0, 0.0]), said.pairs, said.targets)
    assert found.item() == pytest.approx(0.9 * cost(2.0) + 0.1 * cost(-2.0))


def test_ties_are_left_out_or_wanted_at_one_half() -> None:
    scores = torch.tensor([3.0, 1.0, 0.0])
    dropped = comparisons_of([1, 1, 2], ties="drop")
    halved = comparisons_of([1, 1, 2], ties="half", smoothing=0.2)
    assert dropped.pairs.tolist() == [[0, 2], [1, 2]]
    assert halved.pairs.tolist() == [[0, 2], [1, 2], [0, 1]]
    assert halved.targets.tolist() == pytest.approx([0.8, 0.8, 0.5])
    tie = 0.5 * cost(2.0) + 0.5 * cost(-2.0)
    strict = 0.8 * (cost(3.0) + cost(1.0)) + 0.2 * (cost(-3.0) + cost(-1.0))
    found = log_sigmoid(scores, halved.pairs, halved.targets)
    assert found.item() == pytest.approx((strict + tie) / 3)


def test_gaps_are_the_strength_the_scores_or_the_ranks() -> None:
    assert comparisons_of([2, 1], strength=3.0).gaps.tolist() == [3.0]
    assert comparisons_of([1, 2, 3], strength=3.0).gaps.tolist() == [1.0, 2.0, 1.0]
    scored = comparisons_of([1, 2, 3], scores=[7.0, 4.5, 5.0])
    assert scored.gaps.tolist() == [2.5, 2.0, 0.0], "scores that deny the ranks ask for nothing"
    assert comparisons_of([1, 1, 2], ties="half").gaps.tolist() == [1.0, 1.0, 0.0]


def test_margin_asks_for_more_where_the_preference_is_stronger() -> None:
    # Llama 2's small margin: strength 3 of 3 asks for 1.
    said = comparisons_of([1, 2], strength=3.0)
    scores = torch.tensor([1.5, 0.0])
    found = margin_log_sigmoid(scores, said.pairs, said.targets, said.gaps / 3)
    assert found.item() == pytest.approx(cost(0.5))
    assert ranking_loss(scores, said, "margin", 1 / 3).item() == pytest.approx(cost(0.5))


def test_a_wrong_label_asks_for_its_margin_the_other_way() -> None:
    said = comparisons_of([1, 2], smoothing=0.25)
    found = margin_log_sigmoid(
        torch.tensor([1.0, 0.0]), said.pairs, said.targets, torch.tensor([0.5])
    )
    assert found.item() == pytest.approx(0.75 * cost(0.5) + 0.25 * cost(-1.5))


def test_score_difference_multiplies_by_its_square() -> None:
    said = comparisons_of([1, 2, 3], scores=[5.0, 4.0, 4.0])
    # Δr·Δscore²: (0,1) 1·1, (0,2) 2·1, (1,2) 1·0.
    expected = (cost(1.0) + cost(2.0) + math.log(2)) / 3
    assert score_difference(SCORES, said.pairs, said.targets, said.gaps).item() == pytest.approx(
        expected
    )
    by_rank = comparisons_of([1, 2, 3])
    expected = (cost(1.0) + cost(2.0 * 4) + cost(1.0)) / 3
    assert ranking_loss(SCORES, by_rank, "score_difference", 0.0).item() == pytest.approx(expected)


def test_plackett_luce_chooses_the_best_then_the_next() -> None:
    said = comparisons_of([2, 1, 3])
    e = math.exp
    first = e(1) / (e(2) + e(1) + e(0))
    second = e(2) / (e(2) + e(0))
    expected = -(math.log(first) + math.log(second)) / 2
    assert plackett_luce(SCORES, said.competitors).item() == pytest.approx(expected)


def test_plackett_luce_ties_do_not_compete_or_are_chosen_from_all_that_are_left() -> None:
    e = math.exp
    whole = e(2) + e(1) + e(0)
    dropped = comparisons_of([1, 1, 2], ties="drop")
    expected = -(math.log(e(2) / (e(2) + e(0))) + math.log(e(1) / (e(1) + e(0)))) / 2
    assert plackett_luce(SCORES, dropped.competitors).item() == pytest.approx(expected)
    breslow = comparisons_of([1, 1, 2], ties="half")
    expected = -(math.log(e(2) / whole) + math.log(e(1) / whole)) / 2
    assert plackett_luce(SCORES, breslow.competitors).item() == pytest.approx(expected)


@pytest.mark.parametrize("ties", ["drop", "half"])
@pytest.mark.parametrize("ranks", [[1, 2], [2, 1], [1, 1]])
def test_plackett_luce_of_two_is_log_sigmoid(ranks: list[int], ties: str) -> None:
    scores = torch.tensor([[0.7, -0.4], [0.1, 1.1]])
    said = comparisons_of(ranks, ties=ties, smoothing=0.1)
    torch.testing.assert_close(
        ranking_loss(scores, said, "plackett_luce", 0.0),
        ranking_loss(scores, said, "log_sigmoid", 0.0),
    )


def test_plackett_luce_smoothing_gives_a_share_to_the_others() -> None:
    said = comparisons_of([1, 2, 2])
    e = math.exp
    whole = e(2) + e(1) + e(0)
    first, second, third = (-math.log(e(s) / whole) for s in (2, 1, 0))
    found = plackett_luce(SCORES, said.competitors, 0.2)
    assert found.item() == pytest.approx(0.8 * first + 0.1 * second + 0.1 * third)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_ranking_that_compares_nothing_costs_nothing(loss: str) -> None:
    scores = torch.ones(2, 3, requires_grad=True)
    found = ranking_loss(scores, comparisons_of([1, 1, 1]), loss, 1.0)
    assert found.tolist() == [0.0, 0.0]
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None and scores.grad.abs().sum() == 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ties", ["drop", "half"])
def test_every_loss_pushes_the_better_one_up(loss: str, ties: str) -> None:
    scores = torch.zeros(4, requires_grad=True)
    said = comparisons_of([1, 2, 2, 3], ties=ties, smoothing=0.1)
    ranking_loss(scores, said, loss, 1 / 3).backward()  # type: ignore[no-untyped-call]
    best, *_, worst = (scores.grad if scores.grad is not None else scores).tolist()
    assert best < 0 < worst


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(ValueError, match="no loss hinge"):
        ranking_loss(SCORES, comparisons_of([1, 2, 3]), "hinge", 0.0)
