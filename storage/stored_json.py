"""JSON columns as they are read: the values that Python's `json` reads, several times as fast."""

import json
from typing import Any

import msgspec

_DECODE = msgspec.json.decode


def parsed(text: str | bytes) -> Any:
    """Return the value of JSON text, by the driver of the database given as text or as bytes."""
    try:
        return _DECODE(text)
    except msgspec.DecodeError:
        # Python's own `json` writes and reads what JSON has not: NaN, infinity, half of a pair of
        # surrogates. What is no JSON for it either, it says.
        return json.loads(text)
