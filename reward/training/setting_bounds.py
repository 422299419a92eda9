"""Bounds of settings, refused in one sentence that names the setting."""

from typing import Any

from storage.errors import BadInput


def at_least(section: str, settings: Any, least: float, *names: str) -> None:
    """Raise `BadInput` naming the first of the fields that is below `least`."""
    for name in names:
        value = getattr(settings, name)
        if not value >= least:
            raise BadInput(
                f"Setting training.{section}.{name} is {value!r} but must be at least {least:g}."
            )
