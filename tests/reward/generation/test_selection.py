"""Which completions are shown: hand-worked numbers of disagreement, information and spread."""

import math

import numpy
import pytest
import torch

from reward.generation.selection import (
    cosine_distances,
    expected_information,
    mean_pair_value,
    most_spread,
    most_valuable,
    pair_disagreement,
    pair_probabilities,
)


def test_pair_probabilities_are_the_bradley_terry_shares_of_each_head() -> None:
    raw = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    found = pair_probabilities(raw)
    assert found[:, 0, 1] == pytest.approx([0.75, 0.5])
    assert found[:, 1, 0] == pytest.approx([0.25, 0.5])
    # One label in ten is wrong: 0.1 + 0.8 · 0.75.
    assert pair_probabilities(raw, flips=0.1)[0, 0, 1] == pytest.approx(0.7)


def test_information_is_what_two_heads_that_differ_would_learn() -> None:
    # Heads say 0.9 and 0.1: the mean is a coin (log 2); each alone has entropy
    # -(0.9 ln 0.9 + 0.1 ln 0.1) = 0.09482 + 0.23026 = 0.32508.
    pair = numpy.array([[[0.5, 0.9], [0.1, 0.5]], [[0.5, 0.1], [0.9, 0.5]]])
    found = expected_information(pair)
    assert found[0, 1] == pytest.approx(0.69315 - 0.32508, abs=1e-5)
    assert found[1, 0] == pytest.approx(found[0, 1])
    assert found[0, 0] == pytest.approx(0.0, abs=1e-12)


def test_a_coin_on_which_all_heads_agree_tells_nothing() -> None:
    assert expected_information(numpy.full((4, 2, 2), 0.5)).max() == pytest.approx(0.0, abs=1e-12)


def test_certain_heads_that_contradict_each_other_tell_one_bit() -> None:
    pair = numpy.array([[[0.5, 1.0], [0.0, 0.5]], [[0.5, 0.0], [1.0, 0.5]]])
    assert expected_information(pair)[0, 1] == pytest.approx(math.log(2), abs=1e-9)


def test_disagreement_leaves_out_what_a_head_adds_to_every_completion() -> None:
    # Head 2 scores everything 5 higher: nothing but completion 2 is disputed, by 1 up or down.
    scores = numpy.array([[0.0, 1.0, 2.0], [5.0, 6.0, 9.0]])
    found = pair_disagreement(scores)
    assert found[0, 1] == 0.0
    assert found[0, 2] == found[1, 2] == 1.0


def test_the_greedy_choice_takes_the_best_pair_and_then_what_adds_most() -> None:
    values = numpy.zeros((4, 4))
    for (i, j), value in {(0, 1): 1, (0, 2): 5, (0, 3): 2, (1, 2): 3, (2, 3): 1}.items():
        values[i, j] = values[j, i] = value
    assert most_valuable(values, 2) == [0, 2]
    # 1 adds 1 + 3, 3 adds 2 + 1.
    assert most_valuable(values, 3) == [0, 1, 2]
    assert mean_pair_value(values, [0, 1, 2]) == pytest.approx(3.0)
    assert most_valuable(values, 4) == [0, 1, 2, 3]


def test_farthest_points_come_first() -> None:
    # On a line at 0, 1, 9, 10 and 4: the ends, then 4 (at least 4 from both) before 1 and 9.
    places = numpy.array([0.0, 1.0, 9.0, 10.0, 4.0])
    distances = numpy.abs(places[:, None] - places[None, :])
    assert most_spread(distances, 2) == [0, 3]
    assert most_spread(distances, 3) == [0, 3, 4]
    assert most_spread(distances, 4) == [0, 1, 3, 4]


def test_cosine_distances_are_of_directions() -> None:
    embeddings = numpy.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    found = cosine_distances(embeddings)
    assert found[0, 1] == pytest.approx(1.0)
    assert found[0, 2] == pytest.approx(0.4)
    assert found[1, 2] == pytest.approx(0.2)
    assert found.diagonal().tolist() == [0.0, 0.0, 0.0]
