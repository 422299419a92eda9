"""Cheap numbers about a completion: how long it is, how it ends, what it is made of."""

import re
from collections.abc import Sequence

import numpy

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
SENTENCE_END = re.compile(r"[.!?…]+(?=[\s\"')\]]|$)")
LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
FIRST_PERSON = frozenset(("i", "i'm", "i've", "i'd", "i'll", "me", "my", "we", "our"))
SECOND_PERSON = frozenset(("you", "your", "you're", "you'd", "you'll", "yours"))

NAMES = (
    *("words", "characters", "sentences", "words_a_sentence", "letters_a_word"),
    *("hundreds_of_words", "thousands_of_characters"),
    *("questions", "ends_in_question", "exclamations", "ends_a_sentence", "commas", "colons"),
    *("quotes", "digits", "lines", "list_items", "code", "distinct_words", "capitals"),
    *("first_person", "second_person", "words_of_prompt"),
)


def text_features(prompt: str, completion: str) -> list[float]:
    """Return the numbers that `NAMES` names, counts as log(1 + n).

    Length stands there as it is, too: by logarithms alone, 45 words are hardly fewer than 46.
    """
    text = completion.strip()
    words = [word.lower() for word in WORD.findall(text)]
    sentences = max(1, len(SENTENCE_END.findall(text)))
    asked = {word.lower() for word in WORD.findall(prompt)}
    each = max(1, len(words))
    counts = {
        "words": len(words),
        "characters": len(text),
        "sentences": sentences,
        "words_a_sentence": len(words) / sentences,
        "questions": text.count("?"),
        "exclamations": text.count("!"),
        "commas": text.count(",") + text.count(";"),
        "colons": text.count(":"),
        "quotes": sum(text.count(mark) for mark in '"“”()'),
        "digits": sum(letter.isdigit() for letter in text),
        "lines": text.count("\n"),
        "list_items": len(LIST_ITEM.findall(text)),
        "code": text.count("`"),
        "first_person": sum(word in FIRST_PERSON for word in words),
        "second_person": sum(word in SECOND_PERSON for word in words),
    }
    shares = {
        "hundreds_of_words": len(words) / 100,
        "thousands_of_characters": len(text) / 1000,
        "letters_a_word": sum(map(len, words)) / each,
        "ends_in_question": float(text.endswith("?")),
        "ends_a_sentence": float(text.endswith((".", "!", "?", "…", '."', '!"', '?"', ")"))),
        "distinct_words": len(set(words)) / each,
        "capitals": sum(letter.isupper() for letter in text) / max(1, len(text)),
        "words_of_prompt": len(asked.intersection(words)) / max(1, len(asked)),
    }
    values = {name: float(numpy.log1p(count)) for name, count in counts.items()} | shares
    return [values[name] for name in NAMES]


def text_feature_matrix(prompts: Sequence[str], completions: Sequence[str]) -> numpy.ndarray:
    """Return the features of N completions and their prompts: (N, len(NAMES)) float64."""
    rows = [text_features(p, c) for p, c in zip(prompts, completions, strict=True)]
    return numpy.asarray(rows, dtype=float).reshape(-1, len(NAMES))
