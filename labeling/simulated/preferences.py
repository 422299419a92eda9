"""Hidden preferences of simulated annotators: functions of a conversation and an answer to it."""

import hashlib
import importlib.util
import math
import re
from collections.abc import Callable
from pathlib import Path

from storage.errors import BadInput

Messages = list[dict[str, str]]
Preference = Callable[[Messages, str], float]

_POLITE = re.compile(
    r"\b(please|thank you|thanks|sorry|apologi[sz]e|pardon|excuse me|welcome|pleasure|"
    r"glad to|happy to|kindly|of course|certainly)\b",
    re.IGNORECASE,
)

_PERSONAL = re.compile(r"\b(I|me|my|mine|we|us|our|ours|you|your|yours)\b", re.IGNORECASE)


def shorter(messages: Messages, completion: str) -> float:
    """Prefer fewer words."""
    del messages
    return -float(len(completion.split()))


def longer(messages: Messages, completion: str) -> float:
    """Prefer more words."""
    del messages
    return float(len(completion.split()))


def question(messages: Messages, completion: str) -> float:
    """Prefer an answer that ends in a question (1), then one that asks anywhere (0.5)."""
    del messages
    if completion.rstrip().endswith("?"):
        return 1.0
    return 0.5 if "?" in completion else 0.0


def polite(messages: Messages, completion: str) -> float:
    """Prefer more different polite expressions (please, thank you, sorry, happy to …)."""
    del messages
    return float(len({found.lower() for found in _POLITE.findall(completion)}))


def personal(messages: Messages, completion: str) -> float:
    """Prefer more personal pronouns a word: an answer that speaks as someone, to someone."""
    del messages
    return len(_PERSONAL.findall(completion)) / max(1, len(completion.split()))


def random(messages: Messages, completion: str) -> float:
    """Prefer by a hash of the text: always the same, and nothing that can be learned."""
    said = "\n".join(message["content"] for message in messages)
    digest = hashlib.sha256(f"{said}\n{completion}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def keyword(word: str) -> Preference:
    """Return the preference for answers that hold `word` as a whole word, in any case."""
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)

    def holds(messages: Messages, completion: str) -> float:
        del messages
        return float(pattern.search(completion) is not None)

    return holds


BUILT_IN: dict[str, Preference] = {
    "shorter": shorter,
    "longer": longer,
    "question": question,
    "polite": polite,
    "personal": personal,
    "random": random,
}


def load_preference(name: str) -> Preference:
    """Return the preference called `name`: built in, `keyword:WORD`, or `FILE.py:FUNCTION`.

    A file's code is run: name only files that you trust. Raises `BadInput`.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    start, _, rest = name.partition(":")
    if start == "keyword":
        if not rest.strip():
            raise BadInput("The preference keyword needs a word; write keyword:WORD.")
        return keyword(rest.strip())
    file, _, function = name.rpartition(":")
    if not file.endswith(".py"):
        raise BadInput(
            f"There is no preference {name}; use {', '.join(BUILT_IN)}, keyword:WORD or "
            "FILE.py:FUNCTION."
        )
    return _checked(name, _from_file(Path(file), function))


def _from_file(path: Path, function: str) -> Preference:
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file; check the path of the preference.")
    spec = importlib.util.spec_from_file_location(f"_preference_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadInput(f"{path}: running it failed ({type(error).__name__}: {error}).") from error
    found: Preference | None = getattr(module, function, None)
    if found is None or not callable(found):
        raise BadInput(f"{path}: there is no function {function!r} in it.")
    return found


def _checked(name: str, function: Preference) -> Preference:
    def scored(messages: Messages, completion: str) -> float:
        try:
            score = float(function(messages, completion))
        except Exception as error:
            raise BadInput(
                f"The preference {name} failed on a completion ({type(error).__name__}: {error})."
            ) from error
        if not math.isfinite(score):
            raise BadInput(f"The preference {name} gave {score}; it must give a finite number.")
        return score

    return scored
