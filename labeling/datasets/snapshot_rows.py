"""The rows of a snapshot's files: their columns, and the hash that says that they are the same."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC
from typing import Any

import pandas as pd
import pyarrow

# Hashes are of these texts: another encoder may write a number otherwise.
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_LINE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
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


class RowsDigest:
    """SHA-256 of rows as canonical JSON lines, taken in as they come."""

    def __init__(self, columns: Iterable[str]) -> None:
        """Hash these columns of each row."""
        self._columns = tuple(columns)
        self._digest = hashlib.sha256()

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take in rows, in order; a time is hashed as ISO text in UTC."""
        for row in rows:
            kept = {name: row[name] for name in self._columns}
            if "created_at" in kept:
                kept["created_at"] = kept["created_at"].astimezone(UTC).isoformat()
            self._digest.update(_LINE(kept).encode() + b"\n")

    @property
    def hex(self) -> str:
        """Return the hash of what was taken in so far."""
        return self._digest.hexdigest()


def rows_sha256(rows: pd.DataFrame, schema: pyarrow.Schema = SCHEMA) -> str:
    """Return the SHA-256 of the rows as canonical JSON lines: the same data, the same hash."""
    digest = RowsDigest(schema.names)
    digest.add(rows[list(schema.names)].to_dict("records"))
    return digest.hex


def canonical_json(value: Any) -> str:
    """Return JSON text that is the same for the same value."""
    return _CANONICAL(value)
