"""HH-RLHF: `chosen` and `rejected` as whole dialogues in one text each."""

import re
from collections.abc import Iterator

from labeling.imports.preference_rows.chosen_and_rejected import NAMES, pair_of
from labeling.imports.preference_rows.fields import PAIR_ORIGIN, PROMPT_FACTS
from labeling.imports.preference_rows.imported import Imported
from labeling.imports.row_files import Place, Row, RowShape, messages_of, text_of

SHAPE = RowShape(
    things="preferences",
    columns=("chosen", "rejected", *PAIR_ORIGIN, *PROMPT_FACTS),
    needs=(("chosen", "rejected"),),
    lists=(),
)
_ROLES = {"Human": "user", "Assistant": "assistant"}
_TURN = re.compile(r"\n\n(Human|Assistant):(?: |(?=\n)|$)")


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the pair: the dialogues differ in the assistant's last turn."""
    before, answers = [], []
    for name in NAMES:
        *head, last = _turns(text_of(row.get(name), place, name), place, name)
        if last["role"] != "assistant":
            raise place.bad("the last turn must be the Assistant's", name)
        before.append(head)
        answers.append(text_of(last["content"], place, name, may_be_empty=True))
    if before[0] != before[1]:
        raise place.bad("it does not begin with the same turns as chosen", "rejected")
    yield pair_of(row, place, messages_of(before[0], place, "chosen"), answers[0], answers[1])


def _turns(text: str, place: Place, field: str) -> list[dict[str, str]]:
    opening, *parts = _TURN.split(text)
    if not parts:
        raise place.bad("it has no turn that begins with Human: or Assistant:", field)
    # What stands before the first turn is the system's: HH-RLHF itself has nothing there.
    turns = [{"role": "system", "content": opening}] if opening.strip() else []
    for speaker, content in zip(parts[::2], parts[1::2], strict=True):
        turns.append({"role": _ROLES[speaker], "content": content})
    return turns
