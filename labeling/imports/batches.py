"""Take many things a few at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Value = TypeVar("Value")


def batches(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Yield lists of `size` values in order; the last one may be shorter."""
    source = iter(values)
    while some := list(islice(source, size)):
        yield some
