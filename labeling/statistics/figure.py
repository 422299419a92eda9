"""A measured figure: its value, how sure it is, and what it rests on."""

import re
from dataclasses import dataclass

from storage.plurals import counted


@dataclass(frozen=True)
class Figure:
    """Hold a figure with the number it rests on; `value` is None where nothing can be measured.

    `low` and `high` are its 95 % interval, None where there is none: fewer than two tasks, or a
    figure that is a plain count.
    """

    value: float | None
    n: int
    of: str
    low: float | None = None
    high: float | None = None

    @property
    def rests_on(self) -> str:
        """Return the number it rests on, in words: "1 pair of ratings"."""
        one = re.sub(r"\b(pair|unit|task)s\b", r"\1", self.of, count=1)
        return counted(self.n, one, self.of)
