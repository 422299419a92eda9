"""The formats that can be read, by name, and which of them a row looks like."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from labeling.formats import registry as formats
from labeling.imports.preference_rows.imported import Imported
from labeling.imports.row_files import Place, Row, RowShape
from storage.errors import BadInput

AUTO = "auto"
#: One row a label; the only format that is read and not written.
LONG = "long"


@dataclass(frozen=True)
class Reader:
    """A format: its columns, and how a row becomes what it holds."""

    name: str
    shape: RowShape
    read: Callable[[Row, Place], Iterator[Imported]]


def _reader(name: str) -> Reader:
    module = import_module(f"labeling.imports.preference_rows.{name}")
    return Reader(name, module.SHAPE, module.read)


#: What can be read: every format that is written, and files with one row a label.
READERS: dict[str, Reader] = {name: _reader(name) for name in (*formats.NAMES, LONG)}
ALIASES = {**formats.ALIASES, "pandalm": LONG}
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
        return READERS["open_assistant"]
    for fields, name in _LAST_SIGNS:
        if set(fields) <= has:
            return READERS[name]
    raise place.bad(
        f"its fields tell no format; say which with --format ({', '.join(READERS)})", None
    )


_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("data", "annotations"), "label_studio"),
    (("fields", "responses"), "argilla"),
    (("message_tree_id", "prompt"), "open_assistant"),
    (("prompt", "options"), "open_assistant"),
    (("summaries", "choice"), "summarize_from_feedback"),
    (("preferred_output", "non_preferred_output"), "openai_preference"),
    (("completions", "rankings"), "ranking"),
    (("completions", "ranks"), "ranking"),
    (("task_id", "annotator_id", "item", "label"), LONG),
    (("completion", "label"), "trl_unpaired"),
)
_LAST_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("prompt", "completion"), "trl_prompt_completion"),
    (("messages", "completion"), "trl_prompt_completion"),
    (("prompt",), "trl_prompt_only"),
    (("messages",), "trl_prompt_only"),
)


def _of_pair(row: Mapping[str, Any]) -> str:
    chosen = row["chosen"]
    if isinstance(chosen, list) and len(chosen) > 1:
        scored = "score_chosen" in row and "messages" in row
        return "ultrafeedback" if scored else "trl_implicit"
    if row.get("prompt") is None and row.get("messages") is None and isinstance(chosen, str):
        return "hh_rlhf"
    return "trl_preference"
