"""What the rooms below say in English, in the annotator's language.

Functions of `labeling` answer in one English sentence. Those that an annotator can meet are in the
language files under "error." and "feedback."; any other sentence stays as it is.
"""

import re
from functools import cache

from ui.languages import DEFAULT, Words, words_for

PREFIXES = ("error.", "feedback.")
_PLACE = re.compile(r"\\\{(\w+)\\\}")


def translated(sentence: str, words: Words) -> str:
    """Return the sentence in the language of `words`, with its figures, and what follows it."""
    for key, pattern in _patterns():
        found = pattern.fullmatch(sentence)
        if found is not None:
            values = found.groupdict()
            rest = values.pop("rest_") or ""
            return words.say(key, **values) + rest
    return sentence


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    texts = words_for(None, DEFAULT).texts
    return [
        (key, re.compile(_PLACE.sub(r"(?P<\1>.+?)", re.escape(text)) + r"(?P<rest_> .+)?", re.S))
        for key, text in texts.items()
        if key.startswith(PREFIXES)
    ]
