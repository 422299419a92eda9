"""The rows of a snapshot's files: their columns, and the hash that says that they are the same."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
import pandas as pd
import pyarrow

# Hashes are of these texts. msgspec writes the same bytes as `json` with sorted keys and without
# spaces, six times as fast, but a float otherwise (1e16 is 1e+16 to `json`).
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_LINES = msgspec.json.Encoder(order="sorted").encode_lines
_UTC_TIME = pyarrow.timestamp("us", tz="UTC")
_INTEGERS = pyarrow.list_(pyarrow.int64())
_TEXTS = pyarrow.list_(pyarrow.string())

#: One row a judgment; lists are in task position order, `messages`, `likert` and `checks` JSON.
SCHEMA = pyarrow.schema(
    [
        ("judgment_id", pyarrow.int64()),
        ("task_id", pyarrow.int64()),
        ("prompt_id", pyarrow.int64()),
        ("split", pyarrow.string()),
        ("messages", pyarrow.string()),
        ("completion_ids", _INTEGERS),
        ("completions", _TEXTS),
        ("finish_reasons", _TEXTS),
        ("policy_versions", _INTEGERS),
        ("policies", _TEXTS),
        ("policy_version", pyarrow.int64()),
        ("round", pyarrow.int64()),
        ("source", pyarrow.string()),
        ("license", pyarrow.string()),
        ("tags", _TEXTS),
        ("language", pyarrow.string()),
        ("ranks", _INTEGERS),
        ("strength", pyarrow.int64()),
        ("likert", pyarrow.string()),
        ("checks", pyarrow.string()),
        ("flags", _TEXTS),
        ("rationale", pyarrow.string()),
        ("milliseconds", pyarrow.int64()),
        ("guideline_version", pyarrow.int64()),
        ("annotator_id", pyarrow.int64()),
        ("annotator_kind", pyarrow.string()),
        ("reliability", pyarrow.float64()),
        ("created_at", _UTC_TIME),
    ]
)
#: The columns of snapshots taken before queries could be named.
FIRST_COLUMNS = (
    *("judgment_id", "task_id", "prompt_id", "split", "messages", "completion_ids", "completions"),
    *("finish_reasons", "policy_version", "ranks", "annotator_id", "created_at"),
)
DEMONSTRATION_SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.int64()),
        ("prompt_id", pyarrow.int64()),
        ("split", pyarrow.string()),
        ("messages", pyarrow.string()),
        ("text", pyarrow.string()),
        ("annotator_id", pyarrow.int64()),
        ("created_at", _UTC_TIME),
    ]
)
CONSOLIDATED_SCHEMA = pyarrow.schema(
    [
        ("task_id", pyarrow.int64()),
        ("ranks", _INTEGERS),
        ("uncertainty", pyarrow.float64()),
        ("judgments", pyarrow.int64()),
    ]
)
#: The columns of times and floats.
_WRITTEN_OTHERWISE = frozenset({"created_at", "reliability", "uncertainty"})
_AT_ONCE = 1000


class RowsDigest:
    """SHA-256 of rows as canonical JSON lines, taken in as they come."""

    def __init__(self, columns: Iterable[str]) -> None:
        """Hash these columns of each row."""
        # In the order of their lines, so that nothing is left to be sorted.
        self._columns = tuple(sorted(columns))
        self._written_otherwise = _WRITTEN_OTHERWISE.intersection(self._columns)
        self._digest = hashlib.sha256()

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take in rows, in order; a time is hashed as ISO text in UTC."""
        waiting = iter(rows)
        while some := list(islice(waiting, _AT_ONCE)):
            self._digest.update(_LINES(self._lines(some)))

    def _lines(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        columns = self._columns
        lines = [{name: row[name] for name in columns} for row in rows]
        for name in self._written_otherwise:
            for line in lines:
                line[name] = _as_hashed(line[name])
        return lines

    @property
    def hex(self) -> str:
        """Return the hash of what was taken in so far."""
        return self._digest.hexdigest()


def _as_hashed(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return msgspec.Raw(json.dumps(value).encode()) if isinstance(value, float) else value


def rows_sha256(rows: pd.DataFrame, schema: pyarrow.Schema = SCHEMA) -> str:
    """Return the SHA-256 of the rows as canonical JSON lines: the same data, the same hash."""
    digest = RowsDigest(schema.names)
    digest.add(rows[list(schema.names)].to_dict("records"))
    return digest.hex


def canonical_json(value: Any) -> str:
    """Return JSON text that is the same for the same value."""
    return _CANONICAL(value)
