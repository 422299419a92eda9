"""Plain numbers about a completion."""

import math

import pytest

from reward.reward_modeling.text_features import NAMES, text_feature_matrix, text_features


def _of(completion: str, prompt: str = "") -> dict[str, float]:
    return dict(zip(NAMES, text_features(prompt, completion), strict=True))


def test_counts_are_logarithms() -> None:
    found = _of("One two three. Four?")
    assert found["words"] == pytest.approx(math.log(5))
    assert found["sentences"] == pytest.approx(math.log(3))
    assert found["words_a_sentence"] == pytest.approx(math.log(3))
    assert found["questions"] == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("text", "question", "sentence"),
    [("Why?", 1.0, 1.0), ("Yes.", 0.0, 1.0), ("It is cut in the", 0.0, 0.0)],
)
def test_how_it_ends(text: str, question: float, sentence: float) -> None:
    found = _of(f"  {text}\n")
    assert (found["ends_in_question"], found["ends_a_sentence"]) == (question, sentence)


def test_words_of_the_prompt_and_words_said_twice() -> None:
    found = _of("The cat saw the cat", prompt="the dog and the cat")
    assert found["words_of_prompt"] == pytest.approx(2 / 4)
    assert found["distinct_words"] == pytest.approx(3 / 5)


def test_persons_and_lists() -> None:
    found = _of("I think you're right:\n- my one\n2. two")
    assert found["first_person"] == pytest.approx(math.log(3))
    assert found["second_person"] == pytest.approx(math.log(2))
    assert found["list_items"] == pytest.approx(math.log(3))
    assert found["lines"] == pytest.approx(math.log(3))


def test_nothing_said_is_a_row_of_numbers() -> None:
    matrix = text_feature_matrix(["", ""], ["", "\U0001f600"])
    assert matrix.shape == (2, len(NAMES))
    assert not (matrix != matrix).any()
    assert text_feature_matrix([], []).shape == (0, len(NAMES))
