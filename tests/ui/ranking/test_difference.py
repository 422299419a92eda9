"""Differences of two texts: what is marked, that nothing is lost, and that it is quick."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from playwright.sync_api import Browser, Page

from ui.components.ranking import served

# Far above what it takes (a fifth of a second), far below what would stop the page.
MOST_MILLISECONDS = 4000
LARGE = 100_000


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    made = browser.new_page()
    made.add_script_tag(
        content=(Path(served.__file__).parent / "difference.js").read_text(encoding="utf-8")
    )
    yield made
    made.close()


def merged(page: Page, left: str, right: str) -> list[tuple[str, str]]:
    pieces = page.evaluate("([left, right]) => mergeDifferences(left, right)", [left, right])
    return [(piece["kind"], piece["text"]) for piece in pieces]


def marked(page: Page, left: str, right: str) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(
        "([left, right]) => markDifferences(left, right)", [left, right]
    )
    return found


def changed(side: list[dict[str, Any]]) -> list[str]:
    return [piece["text"].strip() for piece in side if piece["changed"]]


def test_words_that_changed_are_marked(page: Page) -> None:
    assert merged(page, "The capital is Lyon, they say.", "The capital is Paris, they say.") == [
        ("same", "The capital is "),
        ("removed", "Lyon"),
        ("added", "Paris"),
        ("same", ", they say."),
    ]


def test_blanks_are_no_difference_and_line_ends_are(page: Page) -> None:
    assert marked(page, "one  two", "one two")["alike"] == 1
    assert changed(marked(page, "one two", "one\ntwo")["right"]) == [""]


def test_scripts_without_blanks_are_compared_by_character(page: Page) -> None:
    found = marked(page, "巴黎是法国的首都。", "里昂是法国的首都。")
    assert changed(found["left"]) == ["巴黎"]
    assert changed(found["right"]) == ["里昂"]


@pytest.mark.parametrize("whole", ["👨‍👩‍👧", "🇫🇷", "👍🏽", "e\u0301", "क्षि", "1️⃣"])
def test_nothing_is_cut_that_is_read_as_one(page: Page, whole: str) -> None:
    pieces = page.evaluate("text => tokensOf(text)", f"a {whole} b")
    assert [piece.strip() for piece in pieces] == ["a", whole, "b"]


def test_a_word_in_common_is_no_likeness(page: Page) -> None:
    found = marked(page, "Cats sleep in the sun all day", "Engines burn in the dark for ever")
    assert found["alike"] == 0
    assert len(found["left"]) == 1


@pytest.mark.parametrize(("left", "right"), [("", ""), ("", "b"), ("a", ""), ("a", "a")])
def test_empty_and_equal_texts(page: Page, left: str, right: str) -> None:
    found = marked(page, left, right)
    assert "".join(piece["text"] for piece in found["left"]) == left
    assert "".join(piece["text"] for piece in found["right"]) == right
    assert found["alike"] == (left == right)


WORDS = some.lists(some.sampled_from(["a", "b", "the", "巴", "\n", "  ", "🇫🇷", ".", "longer word"]))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(left=WORDS, right=WORDS)
def test_every_character_stays(page: Page, left: list[str], right: list[str]) -> None:
    texts = "".join(left), "".join(right)
    pieces = merged(page, *texts)
    assert "".join(text for kind, text in pieces if kind != "removed") == texts[1]
    sides = marked(page, *texts)
    for name, text in zip(("left", "right"), texts, strict=True):
        assert "".join(piece["text"] for piece in sides[name]) == text


def edited(text: str, share: float) -> str:
    chance = random.Random(1)
    return " ".join("changed" if chance.random() < share else word for word in text.split())


def large_text(seed: int, words: list[str], between: str = " ") -> str:
    chance = random.Random(seed)
    found: list[str] = []
    while sum(map(len, found)) < LARGE - 1000:
        found += [chance.choice(words) for _ in range(100)]
    return between.join(found)[:LARGE]


VOCABULARY = [f"word{number}" for number in range(3000)]
BOOK = large_text(1, VOCABULARY)
CHINESE = large_text(2, [chr(0x4E00 + number) for number in range(800)], "")


@pytest.mark.parametrize(
    ("left", "right", "least_alike"),
    [
        pytest.param(BOOK, edited(BOOK, 0.01), 0.97, id="one word in a hundred"),
        pytest.param(BOOK, edited(BOOK, 0.2), 0.6, id="one word in five"),
        pytest.param(BOOK, large_text(3, VOCABULARY), 0.0, id="nothing in common"),
        pytest.param(CHINESE, CHINESE[:40_000] + "某" + CHINESE[40_500:], 0.97, id="Chinese"),
        pytest.param("a " * 50_000, "b " * 50_000, 0.0, id="one word"),
        pytest.param("a b " * 25_000, "b a a " * 16_000, 0.0, id="a period"),
        pytest.param("x" * LARGE, "x" * (LARGE - 1), 0.0, id="no blanks"),
    ],
)
def test_large_texts_are_quick(page: Page, left: str, right: str, least_alike: float) -> None:
    milliseconds, alike = page.evaluate(
        """([left, right]) => {
          const start = performance.now();
          const { alike } = markDifferences(left, right);
          return [performance.now() - start, alike];
        }""",
        [left, right],
    )
    assert milliseconds < MOST_MILLISECONDS
    assert alike >= least_alike
