"""A hidden preference of one's own, as `--preference FILE.py:FUNCTION` reads it."""

import re


def few_sentences(messages: list[dict[str, str]], completion: str) -> float:
    """Prefer fewer sentences: minus the number of sentence ends, and of line breaks."""
    del messages
    return -float(len(re.findall(r"[.!?]+(?=\s|$)|\n+", completion.strip())))
