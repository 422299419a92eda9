"""Bounds of settings, refused in one sentence that names the setting.

Each raises `BadInput` naming the first of the fields that is not within them; NaN is within none.
"""

import math
from typing import Any

from storage.errors import BadInput


def at_least(section: str, settings: Any, least: float, *names: str) -> None:
    """Refuse what is below `least`; infinity is a limit that is never met."""
    for name in names:
        if not getattr(settings, name) >= least:
            _refuse(section, settings, name, f"at least {least:g}")


def above(section: str, settings: Any, bound: float, *names: str) -> None:
    """Refuse what is not above `bound`; infinity is a limit that is never met."""
    for name in names:
        if not getattr(settings, name) > bound:
            _refuse(section, settings, name, f"above {bound:g}")


def finite(section: str, settings: Any, least: float, *names: str) -> None:
    """Refuse what is below `least` or without end."""
    for name in names:
        if not least <= getattr(settings, name) < math.inf:
            _refuse(section, settings, name, f"a number of at least {least:g}")


def within(section: str, settings: Any, least: float, most: float, *names: str) -> None:
    """Refuse what is below `least` or above `most`."""
    for name in names:
        if not least <= getattr(settings, name) <= most:
            _refuse(section, settings, name, f"from {least:g} to {most:g}")


def _refuse(section: str, settings: Any, name: str, wanted: str) -> None:
    value = getattr(settings, name)
    raise BadInput(f"Setting training.{section}.{name} is {value!r} but must be {wanted}.")
