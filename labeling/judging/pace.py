"""Pace: mark a judgment that came faster than its texts can be read; nothing is ever refused."""

import re
from collections.abc import Iterable

from labeling.labeling_settings import LabelingSettings

FAST = "fast"

# Han, kana and hangul: written without spaces, or with few.
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")


def count_words(texts: Iterable[str]) -> int:
    """Return how many words the texts have together; a CJK character counts as one.

    People read 228 English words or 255 Chinese characters a minute (Trauzettel-Klosinski & Dietz
    2012, Standardized assessment of reading performance: IReST, IOVS 53, table 3), so that one
    bound fits both.
    """
    return sum(_words_of(text) for text in texts)


def pace_marks(settings: LabelingSettings, *, words: int, milliseconds: int) -> list[str]:
    """Return the marks of a judgment of `words` shown words that took `milliseconds`.

    `fast` where it was quicker than `pace.shortest`, or than reading prompt and completions once
    at `pace.fastest_reading` words a minute.
    """
    pace = settings.pace
    reading = words * 60_000 / pace.fastest_reading
    return [FAST] if milliseconds < max(pace.shortest, reading) else []


def _words_of(text: str) -> int:
    if text.isascii():
        return len(text.split())
    spaced, characters = _CJK.subn(" ", text)
    return characters + len(spaced.split())
