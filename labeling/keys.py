"""Primary keys: None only until a row is stored, which the types cannot say."""

from typing import Protocol


class _Keyed(Protocol):
    id: int | None


def key_of(row: _Keyed) -> int:
    """Return the key of a stored row; raise `ValueError` where it was not flushed."""
    if row.id is None:
        raise ValueError(f"{type(row).__name__} has no key yet; flush the session first")
    return row.id
