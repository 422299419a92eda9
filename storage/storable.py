"""Texts that every database can store: no NUL (PostgreSQL), no half of a pair of surrogates (none).

SQLite would take a NUL, and PostgreSQL would refuse the row years later, when the database is
copied into it.
"""

import json
import re
from typing import Any

from storage.errors import BadInput

UNSTORABLE = (
    "A text holds a NUL character, or half of a pair of surrogates, which cannot be stored; "
    "take it out."
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# JSON has a NUL as an escape; an even number of backslashes before it is text that speaks of one.
_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def is_storable(text: str) -> bool:
    """Say whether every database can store the text."""
    return _UNSTORABLE.search(text) is None


def json_text(value: Any) -> str:
    """Return the value as JSON; raise `BadInput` where a text in it cannot be stored everywhere."""
    text = json.dumps(value)
    # Looked for first without a pattern: nearly always there is neither.
    if "\\u0000" in text and _NUL_IN_JSON.search(text):
        raise BadInput(UNSTORABLE)
    if "\\ud" in text and not is_storable(json.dumps(value, ensure_ascii=False)):
        raise BadInput(UNSTORABLE)
    return text


def refuse_nul(parameters: Any) -> None:
    """Raise `BadInput` where a value of a statement, or of many rows of it, is text with a NUL."""
    if isinstance(parameters, list):
        for row in parameters:
            refuse_nul(row)
        return
    for value in parameters.values() if isinstance(parameters, dict) else parameters or ():
        if isinstance(value, str) and "\x00" in value:
            raise BadInput(UNSTORABLE)
