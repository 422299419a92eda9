import unicodedata

import pytest

from storage.printable import printable
from tests.hostile_texts import TEXTS, HostileText


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one.name)
def test_a_hostile_text_is_one_line_without_a_command(one: HostileText) -> None:
    shown = printable(one.text)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(each) == "Cc" for each in shown)
    assert not any(unicodedata.bidirectional(each) in ("RLO", "LRO", "RLI") for each in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 中文 👩‍👩‍👦", "plain é 中文 👩‍👩‍👦"),
        ("\x1b[31mred\x9b0m", r"\x1b[31mred\x9b0m"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("a\u2028b\u202ec\u2066d", r"a\u2028b\u202ec\u2066d"),
    ],
)
def test_what_is_not_seen_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_kept_stays() -> None:
    assert printable("a\nb\tc\x1b", keep="\n\t") == "a\nb\tc\\x1b"
