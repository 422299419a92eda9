"""A measured figure: its value, how sure it is, and what it rests on."""

from dataclasses import dataclass


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
