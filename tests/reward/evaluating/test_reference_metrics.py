"""Overlap with demonstrations, against figures worked by hand."""

import pytest

from reward.evaluating.reference_metrics import overlap


def test_rouge_is_the_f1_with_the_demonstration_that_fits_best() -> None:
    found = overlap([["the cat sat"]], [["a bird flew by", "the cat sat down here"]])
    assert found is not None
    # Three words in common: precision 3/3, recall 3/5. Two pairs: precision 2/2, recall 2/4.
    assert found.rouge1.value == pytest.approx(0.75)
    assert found.rouge2.value == pytest.approx(2 / 3)
    assert found.rouge_l.value == pytest.approx(0.75)


def test_a_copy_scores_highest_and_nothing_in_common_scores_zero() -> None:
    text = "one two three four five"
    copied, other = overlap([[text]], [[text]]), overlap([["六"]], [[text]])
    assert copied is not None and other is not None
    assert (copied.bleu, copied.chrf) == (pytest.approx(100), pytest.approx(100))
    assert (other.bleu, other.chrf, other.rouge1.value) == (0, 0, 0)


def test_prompts_without_demonstrations_are_left_out() -> None:
    found = overlap([["x"], ["a b c d e", "a b c d e"]], [[], ["a b c d e", "z"]])
    assert found is not None
    assert (found.rouge1.clusters, found.rouge1.values, found.rouge1.value) == (1, 2, 1.0)
    assert found.bleu == pytest.approx(100)


def test_no_demonstration_no_figures() -> None:
    assert overlap([["x"], ["y"]], [[], []]) is None
