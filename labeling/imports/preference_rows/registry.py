"""The formats that can be read, by name, and which of them a row looks like."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from labeling.imports.preference_rows import (
    argilla,
    hh_rlhf,
    label_studio,
    long,
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
from labeling.imports.preference_rows.imported import Imported
from labeling.imports.row_files import Place, Row, RowShape
from storage.errors import BadInput

AUTO = "auto"


@dataclass(frozen=True)
class Reader:
    """A format: its columns, and how a row becomes what it holds."""

    name: str
    shape: RowShape
    read: Callable[[Row, Place], Iterator[Imported]]


def _reader(module: ModuleType) -> Reader:
    return Reader(module.NAME, module.SHAPE, module.read)


READERS: dict[str, Reader] = {
    each.name: each
    for each in map(
        _reader,
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
            long,
        ),
    )
}
ALIASES = {"trl": trl_preference.NAME, "pandalm": long.NAME}
#: Any shape: to look at the first row with.
ANY = RowShape(things="rows", columns=(), needs=(), json_if_it_is=("prompt", "chosen", "rejected"))


def reader_named(name: str) -> Reader:
    """Return a format by its name or alias; raise `BadInput` naming all where there is none."""
    found = READERS.get(ALIASES.get(name, name))
    if found is None:
        raise BadInput(f"There is no format {name}; use {', '.join(READERS)}, or {AUTO}.")
    return found


def detect(row: Mapping[str, Any], place: Place) -> Reader:
    """Return the format that a row's fields tell; raise `BadInput` where they do not."""
    has = {name for name, value in row.items() if value is not None and value != ""}
    for fields, name in _SIGNS:
        if set(fields) <= has:
            return READERS[name]
    if {"chosen", "rejected"} <= has:
        return READERS[_of_pair(row)]
    if isinstance(row.get("prompt"), dict) and "replies" in row["prompt"]:
        return READERS[open_assistant.NAME]
    for fields, name in _LAST_SIGNS:
        if set(fields) <= has:
            return READERS[name]
    raise place.bad(
        f"its fields tell no format; say which with --format ({', '.join(READERS)})", None
    )


_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("data", "annotations"), label_studio.NAME),
    (("fields", "responses"), argilla.NAME),
    (("message_tree_id", "prompt"), open_assistant.NAME),
    (("prompt", "options"), open_assistant.NAME),
    (("summaries", "choice"), summarize_from_feedback.NAME),
    (("preferred_output", "non_preferred_output"), openai_preference.NAME),
    (("completions", "rankings"), ranking.NAME),
    (("completions", "ranks"), ranking.NAME),
    (("task_id", "annotator_id", "item", "label"), long.NAME),
    (("completion", "label"), trl_unpaired.NAME),
)
_LAST_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("prompt", "completion"), trl_prompt_completion.NAME),
    (("messages", "completion"), trl_prompt_completion.NAME),
    (("prompt",), trl_prompt_only.NAME),
    (("messages",), trl_prompt_only.NAME),
)


def _of_pair(row: Mapping[str, Any]) -> str:
    chosen = row["chosen"]
    if isinstance(chosen, list) and len(chosen) > 1:
        scored = "score_chosen" in row and "messages" in row
        return ultrafeedback.NAME if scored else trl_implicit.NAME
    if row.get("prompt") is None and row.get("messages") is None and isinstance(chosen, str):
        return hh_rlhf.NAME
    return trl_preference.NAME
