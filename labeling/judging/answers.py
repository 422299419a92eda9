"""What an annotator may say of a task besides the ranking: checked field by field."""

from collections.abc import Mapping, Sequence

from labeling.labeling_sections import PageSettings
from labeling.texts import storable
from storage.errors import BadInput

LONGEST_RATIONALE = 10_000
LONGEST_COMMENT = 2_000
LONGEST_FLAG = 100
MOST_FLAGS = 20
_MOST_MILLISECONDS = 2**31 - 1


def valid_strength(value: object, ranks: Sequence[int]) -> int | None:
    """Return how much the better of two is better, 1 (negligibly) … 4 (significantly), or None."""
    if value is None:
        return None
    if len(ranks) != 2 or ranks[0] == ranks[1]:
        raise BadInput(
            "A strength says how much the better of two is better; leave it out of a tie, and "
            "where there are more than two completions."
        )
    if not _whole(value, 1, 4):
        raise BadInput(
            f"The strength is {value!r}; it must be 1 (negligibly) to 4 (significantly)."
        )
    return int(str(value))


def valid_likert(
    given: Mapping[str, Sequence[int | None]] | None, page: PageSettings, k: int
) -> dict[str, list[int | None]]:
    """Return each criterion's answers 1–7 (None: not answered) by task position."""
    answers = _by_criterion(given, page, "likert", k)
    for name, values in answers.items():
        if not all(value is None or _whole(value, 1, 7) for value in values):
            raise BadInput(f"An answer to {name} must be a whole number from 1 to 7.")
    return {name: [_int_or_none(value) for value in values] for name, values in answers.items()}


def valid_checks(
    given: Mapping[str, Sequence[bool | None]] | None, page: PageSettings, k: int
) -> dict[str, list[bool | None]]:
    """Return each criterion's answers yes/no (None: not answered) by task position."""
    answers = _by_criterion(given, page, "check", k)
    for name, values in answers.items():
        if not all(value is None or isinstance(value, bool) for value in values):
            raise BadInput(f"An answer to {name} must be yes or no.")
    return {
        name: [value if isinstance(value, bool) else None for value in values]
        for name, values in answers.items()
    }


def valid_rationale(value: object, page: PageSettings) -> str:
    """Return the rationale; raise where the project requires one and there is none."""
    text = valid_text(value, "rationale", LONGEST_RATIONALE)
    if page.rationale == "required" and not text.strip():
        raise BadInput("This project asks for a reason; say in a few words why you ranked them so.")
    return text


def valid_flags(values: object) -> list[str]:
    """Return the flags, each one once."""
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) > MOST_FLAGS:
        raise BadInput(f"The flags must be a list of at most {MOST_FLAGS} short texts.")
    return list(dict.fromkeys(valid_text(value, "flag", LONGEST_FLAG) for value in values))


def valid_text(value: object, field: str, longest: int) -> str:
    """Return text as every database can store it."""
    if not isinstance(value, str):
        raise BadInput(f"The {field} must be text.")
    if len(value) > longest:
        raise BadInput(f"The {field} is too long; {longest} characters are the most.")
    return storable(value)


def valid_milliseconds(value: object) -> int:
    """Return the time taken, cut at what the column holds."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadInput(f"The time taken is {value!r}; it must be whole milliseconds, 0 or more.")
    return min(value, _MOST_MILLISECONDS)


def valid_nonce(value: object) -> str:
    """Return the nonce that makes a submit idempotent."""
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isprintable():
        raise BadInput("The nonce of a submit must be text of 1 to 64 printable characters.")
    return storable(value)


def _by_criterion(given: object, page: PageSettings, kind: str, k: int) -> dict[str, list[object]]:
    if given is None:
        return {}
    asked = {criterion.name for criterion in page.criteria if criterion.kind == kind}
    if not isinstance(given, Mapping) or not set(given) <= asked:
        raise BadInput(
            "The project's criteria have changed since this page was loaded; answer the ones that "
            "are shown now."
        )
    for name, values in given.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != k:
            raise BadInput(f"The answers to {name} must be {k}, one for each completion.")
    return {str(name): list(values) for name, values in given.items()}


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _int_or_none(value: object) -> int | None:
    return value if isinstance(value, int) else None
