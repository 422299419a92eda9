"""`SECTION.FIELD=VALUE`, as commands take settings that belong to sections."""

import json
from typing import Any

import click

Values = dict[str, dict[str, Any]]
PREFIX = "training."


def section_values(
    _ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> Values:
    """Return section → field → value; a value that is no JSON is a text.

    Raises `click.BadParameter` naming what is not SECTION.FIELD=VALUE.
    """
    found: Values = {}
    for each in given:
        name, equals, text = each.partition("=")
        # As errors and the settings file name it: training.ppo.clip.
        own = name.strip().removeprefix(PREFIX)
        section, dot, field = own.partition(".")
        if not (equals and dot and section and field):
            raise click.BadParameter(f"{each!r} is not SECTION.FIELD=VALUE")
        try:
            value = json.loads(text)
        except ValueError:
            value = text.strip()
        found.setdefault(section, {})[field] = value
    return found
