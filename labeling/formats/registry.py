"""The formats by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import pyarrow

from labeling.formats.example import Example
from storage.errors import BadInput

Unit = Literal["pair", "completion", "task", "prompt", "demonstration"]


#: Every format, each a module of this folder by that name, which writes it, and one of
#: `labeling/imports/preference_rows`, which reads it.
NAMES = (
    "trl_preference",
    "trl_implicit",
    "trl_unpaired",
    "trl_prompt_only",
    "trl_prompt_completion",
    "ranking",
    "hh_rlhf",
    "openai_preference",
    "ultrafeedback",
    "open_assistant",
    "summarize_from_feedback",
    "argilla",
    "label_studio",
)
#: What a format was called before, and still is on request.
ALIASES = {"trl": "trl_preference"}


@dataclass(frozen=True)
class Format:
    """A shape of rows: what one is of, its columns, and how an example becomes rows."""

    name: str
    help: str
    unit: Unit
    schema: pyarrow.Schema
    rows: Callable[[Example], Iterator[dict[str, Any]]]


def _format(name: str) -> Format:
    module = import_module(f"labeling.formats.{name}")
    return Format(name, module.HELP, module.UNIT, module.SCHEMA, module.rows)


FORMATS: dict[str, Format] = {name: _format(name) for name in NAMES}


def format_named(name: str) -> Format:
    """Return a format by its name or alias; raise `BadInput` naming all where there is none."""
    found = FORMATS.get(ALIASES.get(name, name))
    if found is None:
        raise BadInput(f"There is no format {name}; use {', '.join(FORMATS)}.")
    return found
