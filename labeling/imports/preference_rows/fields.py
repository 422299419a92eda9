"""Fields that several formats share, checked: dialogues, ranks, whole numbers, who judged."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from labeling.imports.preference_rows.imported import (
    ImportedAnnotator,
    ImportedCompletion,
    ImportedPrompt,
)
from labeling.imports.row_files import (
    Place,
    Row,
    label_of,
    language_of,
    messages_of,
    prompt_of,
    tags_of,
    text_of,
)
from labeling.judging.answers import LONGEST_RATIONALE
from labeling.judging.rankings import dense_ranks
from storage.tables import AccountKind, Split

#: Columns that a pair of Rankloop's own exports has besides its format's.
PAIR_ORIGIN = (
    *("prompt_id", "task_id", "judgment_id", "annotator", "annotator_kind", "snapshot"),
    *("chosen_id", "rejected_id", "chosen_policy_version", "rejected_policy_version"),
)
#: Columns that say something of the prompt, in whatever format.
PROMPT_FACTS = ("split", "subset", "tags", "language", "source", "license")
SPLITS = {
    **dict.fromkeys(("train", "training"), Split.TRAIN),
    **dict.fromkeys(("test", "heldout", "validation", "eval", "valid"), Split.HELDOUT),
    **dict.fromkeys(("valid1", "valid2"), Split.HELDOUT),
}
MOST_COMPLETIONS = 9
LONGEST_ANNOTATOR = 50
_MOST_MILLISECONDS = 2**31 - 1


def prompt_with_facts(
    row: Row, place: Place, messages: list[dict[str, str]] | None = None
) -> ImportedPrompt:
    """Return the row's prompt (its `prompt` or `messages`, unless given) and what is said of it."""
    return ImportedPrompt(
        messages=prompt_of(row, place) if messages is None else messages,
        split=split_of_row(row, place),
        tags=_tags(row, place),
        language=language_of(row, place),
        source=label_of(row, "source", place),
        license=label_of(row, "license", place),
    )


def split_of_row(row: Row, place: Place) -> Split | None:
    """Return the split that the row says it is of, or None."""
    named = label_of(row, "split", place).strip().lower()
    if named and named not in SPLITS:
        raise place.bad(f"{named!r} is no split; use train, validation or test", "split")
    return SPLITS.get(named)


def _tags(row: Row, place: Place) -> tuple[str, ...]:
    return tags_of(row, place) or tuple(filter(None, [label_of(row, "subset", place)]))


def annotator_of(row: Row, place: Place, *names: str, kind: str = "annotator_kind") -> Any:
    """Return the annotator that the first of the fields `names` names, or an unnamed one."""
    for name in names:
        if row.get(name) not in (None, ""):
            return ImportedAnnotator(
                name_in(row[name], place, name), kind_in(row.get(kind), place, kind)
            )
    return ImportedAnnotator(kind=kind_in(row.get(kind), place, kind))


def name_in(value: object, place: Place, field: str) -> str:
    """Return an annotator's name: text or a number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    name = " ".join(text_of(value, place, field).split())
    if len(name) > LONGEST_ANNOTATOR or not name.isprintable():
        raise place.bad(
            f"an annotator's name must be printable and of at most {LONGEST_ANNOTATOR} characters",
            field,
        )
    return name


def kind_in(value: object, place: Place, field: str) -> AccountKind:
    """Return the kind of an annotator; a consolidated label counts as people's."""
    if value in (None, "", "consolidated"):
        return AccountKind.PERSON
    try:
        return AccountKind(str(value))
    except ValueError:
        kinds = ", ".join(AccountKind)
        raise place.bad(f"{value!r} is no kind of annotator; use {kinds}", field) from None


def dialogue_of(row: Row, name: str, place: Place) -> tuple[list[Any], str]:
    """Return the messages before an answer (none where the field is the answer) and the answer."""
    value = row.get(name)
    if value is None:
        raise place.bad("it is missing", name)
    if isinstance(value, str):
        return [], text_of(value, place, name, may_be_empty=True)
    if not isinstance(value, list) or not value:
        raise place.bad(f"it must be text or messages, not {type(value).__name__}", name)
    *before, last = value
    where = f"{name}[{len(before)}]"
    if not isinstance(last, dict) or last.get("role") != "assistant":
        raise place.bad("the last message must be the assistant's", f"{where}.role")
    return before, text_of(last.get("content"), place, f"{where}.content", may_be_empty=True)


def prompt_of_dialogues(
    row: Row, heads: Sequence[list[Any]], place: Place, names: tuple[str, str]
) -> list[dict[str, str]]:
    """Return the messages that both dialogues begin with; where they have none, the prompt's."""
    if heads[0] != heads[1]:
        raise place.bad(f"it does not begin with the same messages as {names[0]}", names[1])
    return messages_of(heads[0], place, names[0]) if heads[0] else prompt_of(row, place)


def model_of(row: Mapping[str, Any], name: str) -> str:
    """Return the name of a policy that a row knows by its version alone, or ""."""
    version = row.get(name)
    return "" if version in (None, "") else f"policy-{version}"


def id_of(row: Mapping[str, Any], name: str) -> str:
    """Return an identifier as text, or ""."""
    value = row.get(name)
    return "" if value is None else str(value)


def own_judgment(row: Mapping[str, Any], annotator: ImportedAnnotator) -> str:
    """Return by what the pairs of one judgment of Rankloop's own exports are known, or "".

    A lead's decision has the judgment_id 0 on every task, and a consolidated label none.
    """
    task = id_of(row, "task_id")
    if not task:
        return ""
    parts = (id_of(row, "snapshot"), task, id_of(row, "judgment_id"), annotator.name)
    return "/".join(parts)


def text_list(row: Row, name: str, place: Place) -> list[Any]:
    """Return a field that must be a list."""
    value = row.get(name)
    if not isinstance(value, list):
        raise place.bad(f"it must be a list, not {type(value).__name__}", name)
    return value


def check_count(count: int, place: Place, field: str) -> None:
    """Raise unless there are as many completions as a task can rank."""
    if not 2 <= count <= MOST_COMPLETIONS:
        raise place.bad(
            f"it has {count} completions; a task ranks 2 to {MOST_COMPLETIONS} of them", field
        )


def ranks_of(values: Sequence[object], count: int, place: Place, field: str) -> tuple[int, ...]:
    """Return dense ranks (1 is best) of whole numbers, the lowest for the best."""
    if len(values) != count:
        raise place.bad(f"it has {len(values)} ranks for {count} completions", field)
    found = [whole_in(value, place, f"{field}[{index}]") for index, value in enumerate(values)]
    if any(rank is None or rank < 0 for rank in found):
        raise place.bad("ranks are whole numbers, the lowest for the best", field)
    return tuple(dense_ranks([rank for rank in found if rank is not None]))


def whole_in(value: object, place: Place, field: str) -> int | None:
    """Return a whole number (CSV gives it as text, Parquet as a float where there are gaps)."""
    if value is None or value == "":
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.5
    except (ValueError, OverflowError):
        number = 0.5
    if isinstance(value, bool) or not number.is_integer():
        raise place.bad(f"{value!r} is no whole number", field)
    return int(number)


def strength_of(row: Row, ranks: Sequence[int], place: Place) -> int | None:
    """Return the field `strength` (1–4, of two completions that are not tied), or None."""
    strength = whole_in(row.get("strength"), place, "strength")
    if strength is None or len(ranks) != 2:
        return None
    if not 1 <= strength <= 4 or ranks[0] == ranks[1]:
        raise place.bad(
            "a strength is 1 (negligibly better) to 4 (significantly better), and a tie has none",
            "strength",
        )
    return strength


def rationale_of(row: Row, place: Place) -> str:
    """Return the field `rationale`, or ""."""
    text = label_of(row, "rationale", place)
    if len(text) > LONGEST_RATIONALE:
        raise place.bad(f"it is too long; {LONGEST_RATIONALE} characters are the most", "rationale")
    return text


def milliseconds_of(value: object, place: Place, field: str) -> int:
    """Return the time taken; 0 where it is not said."""
    found = whole_in(value, place, field) or 0
    if found < 0:
        raise place.bad("it must not be below 0", field)
    return min(found, _MOST_MILLISECONDS)


def json_in(row: Row, name: str, place: Place) -> Any:
    """Return a field that Parquet, Arrow and CSV can hold only as JSON text."""
    value = row.get(name)
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise place.bad(f"this is no valid JSON ({error})", name) from error


def object_in(value: object, place: Place, field: str) -> dict[str, Any]:
    """Return a value that must be a JSON object."""
    if not isinstance(value, dict):
        raise place.bad(f"it must be an object, not {type(value).__name__}", field)
    return value


def object_if_any(value: object, place: Place, field: str) -> dict[str, Any]:
    """Return a value that must be a JSON object where it is there; else an empty one."""
    return {} if value is None or value == "" else object_in(value, place, field)


def list_if_any(value: object, place: Place, field: str) -> list[Any]:
    """Return a value that must be a list where it is there; else an empty one."""
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise place.bad(f"it must be a list, not {type(value).__name__}", field)
    return value


def answer(text: str, *, model: str = "", key: str = "") -> ImportedCompletion:
    """Return a completion by its text, its model and what the file calls it."""
    return ImportedCompletion(text, model=model[:200], id=key)
