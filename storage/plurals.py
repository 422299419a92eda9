"""Counts in English words: "1 rating", "1,234 ratings"."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count and its noun; `plural` where it is not the noun with an s."""
    return f"{count:,} {form(count, noun, plural or f'{noun}s')}"


def form(count: float, one: str, many: str) -> str:
    """Return the words that go with a count, such as "task is" and "tasks are"."""
    return one if count == 1 else many
