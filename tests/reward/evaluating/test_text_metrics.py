"""Variety, repetition and refusals, against counts made by hand."""

import pytest

from reward.evaluating.text_metrics import (
    REFUSALS,
    distinct,
    identical_share,
    loops,
    refuses,
    repeated_share,
    words_of,
)


def test_words_are_lower_case_and_unspaced_scripts_count_by_character() -> None:
    assert words_of("Don't stop, 東京 7x!") == ["don", "'", "t", "stop", ",", "東", "京", "7x", "!"]


def test_distinct_counts_over_all_texts_together() -> None:
    # Words: a b a b | a c, of which 3 of 6 differ; pairs: ab ba ab | ac, of which 3 of 4.
    texts = ["a b a b", "a c"]
    assert distinct(texts, 1) == 3 / 6
    assert distinct(texts, 2) == 3 / 4
    assert distinct(texts, 5) == 1.0


def test_repeated_share_is_of_the_ngrams_of_one_text() -> None:
    # abcd bcda cdab dabc abcd: one of five stood before.
    assert repeated_share("a b c d a b c d") == pytest.approx(1 / 5)
    assert repeated_share("a b c") == 0.0


def test_a_text_loops_above_the_share_asked_for() -> None:
    # abab baba abab baba abab baba abab: five of seven stood before.
    text = "a b " * 5
    assert loops(text, n=4, share=0.7)
    assert not loops(text, n=4, share=0.72)


@pytest.mark.parametrize(
    "text",
    ["I'm sorry, but no.", "I\u2019m sorry,  but no.", '"I cannot help with it."', "**I WON'T.**"],
)
def test_refusals_are_seen_whatever_their_quotes_and_case(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize("text", ["Sure: I cannot wait!", "", "Sorrel.", "As an aim, win."])
def test_an_answer_is_no_refusal(text: str) -> None:
    assert not refuses(text)


def test_the_list_of_refusals_is_in_the_form_that_is_looked_for() -> None:
    assert all(refuses(opening) for opening in REFUSALS)


def test_identical_share_is_that_of_the_most_common_text() -> None:
    assert identical_share(["yes", "no", "yes", "maybe"]) == 0.5
