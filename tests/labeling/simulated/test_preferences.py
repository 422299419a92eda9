from pathlib import Path

import pytest

from labeling.simulated.preferences import load_preference
from storage.errors import BadInput

ASKED = [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("shorter", "Yes.", "Yes, it is."),
        ("longer", "Yes, it is.", "Yes."),
        ("question", "It is. Is it not? ", "It is. Is it? Yes."),
        ("question", "Is it? Yes.", "It is."),
        ("polite", "Thank you, I am happy to help.", "I am happy to help."),
        ("polite", "SORRY!", "No."),
        ("personal", "I can help you.", "Help is what I can give today."),
        ("keyword:tea", "I like Tea.", "I like a team."),
        ("keyword:C++", "Use C++, now.", "Use C."),
    ],
)
def test_the_built_in_ones_prefer_what_they_say(name: str, better: str, worse: str) -> None:
    score = load_preference(name)
    assert score(ASKED, better) > score(ASKED, worse)


def test_random_is_the_same_each_time_and_blind_to_the_text() -> None:
    score = load_preference("random")
    texts = [f"answer {number}" for number in range(400)]
    scores = [score(ASKED, text) for text in texts]
    assert scores == [score(ASKED, text) for text in texts]
    assert len(set(scores)) == 400
    assert 0.45 < sum(scores) / 400 < 0.55


def test_a_function_of_ones_own_file_is_used(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def vowels(messages, completion):\n    return completion.count('a')\n")
    score = load_preference(f"{path}:vowels")
    assert score(ASKED, "banana") == 3.0


@pytest.mark.parametrize(
    ("code", "function", "says"),
    [
        ("x = 1\n", "f", "no function 'f'"),
        ("x = 1\n", "x", "no function 'x'"),
        ("1 / 0\n", "f", r"running it failed \(ZeroDivisionError"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, code: str, function: str, says: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code)
    with pytest.raises(BadInput, match=says):
        load_preference(f"{path}:{function}")


@pytest.mark.parametrize(
    ("body", "says"),
    [("1 / 0", "failed on a completion"), ("'much'", "failed"), ("float('nan')", "finite")],
)
def test_a_function_that_fails_is_named(tmp_path: Path, body: str, says: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"def f(messages, completion):\n    return {body}\n")
    with pytest.raises(BadInput, match=says):
        load_preference(f"{path}:f")(ASKED, "a")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("best", "no preference best"),
        ("keyword:", "needs a word"),
        ("keyword", "needs a word"),
        ("none.py:f", "no such file"),
    ],
)
def test_an_unknown_name_is_refused(name: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        load_preference(name)
