"""The hash of a snapshot's rows: the same for the same rows, for good, and from any encoder."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import Engine, event

from labeling.datasets.project_judgments import project_judgments
from labeling.datasets.snapshot_rows import (
    CONSOLIDATED_SCHEMA,
    DEMONSTRATION_SCHEMA,
    SCHEMA,
    RowsDigest,
    canonical_json,
)
from labeling.keys import key_of
from storage.engine import reading
from storage.tables import Project
from tests.labeling.stage import set_stage

#: Of the rows below, by the release that first wrote them: snapshots are compared by it.
JUDGMENTS_SHA256 = "ef19072e115e2fc88b1ddc32913ed1956c8a1d8e1d4e0acd94273fdf0663cc0e"
CONSOLIDATED_SHA256 = "085a06d87f4dcfb78801a65dbe9b82b2a17713bd5a44bce97009906474c08f9c"


def a_row(number: int, **changed: Any) -> dict[str, Any]:
    row = {
        "judgment_id": number,
        "task_id": 7,
        "prompt_id": 3,
        "split": "train",
        "messages": canonical_json([{"role": "user", "content": 'Grüß "Gott"\\\n\t\x00\x1f\x7f'}]),
        "completion_ids": [11, 12],
        "completions": ["你好 \U0001f600 </script>\u2028", ""],
        "finish_reasons": ["stop", "length"],
        "policy_versions": [1, -2],
        "policies": ["", "a/b"],
        "policy_version": 1,
        "round": 0,
        "source": "héllo",
        "license": "",
        "tags": [],
        "language": "de",
        "ranks": [2, 1],
        "strength": None,
        "likert": canonical_json({"z": [1, None], "a": [7, 2]}),
        "checks": "{}",
        "flags": ["unsafe"],
        "rationale": "\b\f\r\u0085\ufeff\x1b[31m",
        "milliseconds": 2**53 + 1,
        "guideline_version": 4,
        "annotator_id": 9,
        "annotator_kind": "person",
        "reliability": None,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    }
    assert row.keys() == set(SCHEMA.names)
    return {**row, **changed}


ROWS = [
    a_row(1),
    a_row(2, reliability=0.1, created_at=datetime(2026, 1, 2, tzinfo=UTC)),
    a_row(3, reliability=1.0, created_at=datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2)))),
    a_row(4, reliability=1e16),
    a_row(5, reliability=5e-324, strength=4),
]
LABELS = [
    {"task_id": 1, "ranks": [1, 1], "uncertainty": 0.0, "judgments": 1},
    {"task_id": 2, "ranks": [2, 1], "uncertainty": 1 / 3, "judgments": 12},
    {"task_id": 3, "ranks": [1, 2], "uncertainty": None, "judgments": 2},
]


def digest_of(columns: list[str], rows: list[dict[str, Any]]) -> str:
    digest = RowsDigest(columns)
    digest.add(rows)
    return digest.hex


def test_the_hash_of_rows_stays_what_it_was() -> None:
    assert digest_of(SCHEMA.names, ROWS) == JUDGMENTS_SHA256
    assert digest_of(CONSOLIDATED_SCHEMA.names, LABELS) == CONSOLIDATED_SHA256


def by_json(columns: list[str], rows: list[dict[str, Any]]) -> str:
    """Return the hash as it is defined: canonical JSON lines, by Python's own encoder."""
    digest = sha256()
    for row in rows:
        kept = {name: row[name] for name in columns}
        if "created_at" in kept:
            kept["created_at"] = kept["created_at"].astimezone(UTC).isoformat()
        line = json.dumps(kept, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def test_every_character_is_hashed_as_python_writes_it() -> None:
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    texts = ["".join(map(chr, points[at : at + 500])) for at in range(0, len(points), 500)]
    names = ["id", "prompt_id", "split", "messages", "text", "annotator_id", "created_at"]
    rows = [dict.fromkeys(names, text) | {"created_at": datetime.now(UTC)} for text in texts]
    assert names == DEMONSTRATION_SCHEMA.names
    assert digest_of(names, rows) == by_json(names, rows)


@pytest.mark.parametrize("number", [0.0, -0.0, 1e22, 1e-7, 123456789.123, math.inf, math.nan])
def test_every_float_is_hashed_as_python_writes_it(number: float) -> None:
    rows = [a_row(1, reliability=number)]
    assert digest_of(SCHEMA.names, rows) == by_json(SCHEMA.names, rows)


def test_rows_may_come_in_any_portions() -> None:
    many = [a_row(number) for number in range(2500)]
    digest, waiting = RowsDigest(SCHEMA.names), iter(many)
    while some := list(islice(waiting, 7)):
        digest.add(some)
    assert digest.hex == digest_of(SCHEMA.names, many) == by_json(SCHEMA.names, many)


def test_a_few_prompts_are_not_looked_for_among_all_tasks(
    sqlite_engine: Engine, sqlite_project: Project
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project)
    stage.add_task("one")
    stage.judge("ann", [1, 2, 3, 4])
    asked: list[tuple[str, Any]] = []

    @event.listens_for(sqlite_engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        asked.append((statement, given))

    with reading(sqlite_engine) as session:
        found = list(
            project_judgments(
                session,
                project_id=key_of(sqlite_project),
                models="out",
                decisions=True,
                prompts_at_once=1,
            )
        )
        by_range = [(text, given) for text, given in asked if " BETWEEN " in text]
        assert len(found) == 1 and len(by_range) == 3
        for text, given in by_range:
            plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given).all()
            tasks = [row[3] for row in plan if row[3].startswith(("SEARCH task ", "SCAN task"))]
            assert tasks[0].startswith("SEARCH task USING INDEX ix_task_prompt_id"), plan
