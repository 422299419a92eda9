"""The formats by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import pyarrow

from labeling.formats import (
    argilla,
    hh_rlhf,
    label_studio,
    open_assistant,
    openai_preference,
    ranking,
    summarize_from_feedback,
    trl_implicit,
    trl_preference,
    trl_prompt_completion,
    trl_prompt_only,
    trl_unpaired,
    ultrafeedback,
)
from labeling.formats.example import Example
from storage.errors import BadInput

Unit = Literal["pair", "completion", "task", "prompt", "demonstration"]


@dataclass(frozen=True)
class Format:
    """A shape of rows: what one is of, its columns, and how an example becomes rows."""

    name: str
    help: str
    unit: Unit
    schema: pyarrow.Schema
    rows: Callable[[Example], Iterator[dict[str, Any]]]


def _format(module: ModuleType) -> Format:
    return Format(module.NAME, module.HELP, module.UNIT, module.SCHEMA, module.rows)


FORMATS: dict[str, Format] = {
    each.name: each
    for each in map(
        _format,
        (
            trl_preference,
            trl_implicit,
            trl_unpaired,
            trl_prompt_only,
            trl_prompt_completion,
            ranking,
            hh_rlhf,
            openai_preference,
            ultrafeedback,
            open_assistant,
            summarize_from_feedback,
            argilla,
            label_studio,
        ),
    )
}
#: What a format was called before, and still is on request.
ALIASES = {"trl": trl_preference.NAME}


def format_named(name: str) -> Format:
    """Return a format by its name or alias; raise `BadInput` naming all where there is none."""
    found = FORMATS.get(ALIASES.get(name, name))
    if found is None:
        raise BadInput(f"There is no format {name}; use {', '.join(FORMATS)}.")
    return found
