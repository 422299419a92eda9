"""Snapshots: judgments frozen in Parquet, so that any round can be repeated from the same rows."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.judged import judged_tasks
from labeling.keys import key_of
from storage import blobs
from storage.clock import now
from storage.errors import Unavailable
from storage.tables import Project, Snapshot

ROWS = "judgments.parquet"
FILTERS = {"judgments": "current", "accounts": "active, no models"}
SCHEMA = pyarrow.schema(
    [
        ("judgment_id", pyarrow.int64()),
        ("task_id", pyarrow.int64()),
        ("prompt_id", pyarrow.int64()),
        ("split", pyarrow.string()),
        ("messages", pyarrow.string()),
        ("completion_ids", pyarrow.list_(pyarrow.int64())),
        ("completions", pyarrow.list_(pyarrow.string())),
        ("finish_reasons", pyarrow.list_(pyarrow.string())),
        ("policy_version", pyarrow.int64()),
        ("ranks", pyarrow.list_(pyarrow.int64())),
        ("annotator_id", pyarrow.int64()),
        ("created_at", pyarrow.timestamp("us", tz="UTC")),
    ]
)


def create_snapshot(
    session: Session, *, project: Project, folder: Path, code_version: str
) -> Snapshot:
    """Freeze the current judgments by active accounts that are no models; return the snapshot.

    `folder` is the snapshots' folder, directly under home: the files are in its `snapshot-N-HASH`,
    and `uri` is relative to home. The files are whole and on disk before the caller's transaction
    can commit the row. Where the rows are those of the project's latest snapshot and its files are
    sound, that one is returned.
    """
    taken_at = now()
    rows = _rows_of(judged_tasks(session, project_id=key_of(project)))
    digest = rows_sha256(rows)
    latest = _latest(session, key_of(project))
    if latest is not None and latest.rows_sha256 == digest and _sound(latest, folder.parent):
        return latest
    manifest = _manifest_of(rows, project, digest, code_version, taken_at)
    snapshot = Snapshot(
        project_id=key_of(project),
        uri="",
        rows_sha256=digest,
        manifest=manifest,
        created_at=taken_at,
    )
    session.add(snapshot)
    session.flush()
    # The hash keeps apart what two databases in one home call by the same number.
    snapshot.uri = f"{folder.name}/snapshot-{snapshot.id}-{digest[:12]}"
    _write(rows, manifest, folder.parent, snapshot.uri)
    record(
        session,
        project_id=project.id,
        account_id=None,
        kind="snapshot.created",
        snapshot_id=snapshot.id,
        rows_sha256=digest,
        judgments=len(rows),
    )
    session.flush()
    return snapshot


def read_snapshot(uri: str, home: Path) -> pd.DataFrame:
    """Return a snapshot's rows, one a judgment, oldest first.

    Columns as in `SCHEMA`: `messages` is JSON text, `ranks`, `completion_ids`, `completions` and
    `finish_reasons` are lists by task position. Raises `Unavailable` naming the file that is
    missing, unreadable or not the one that was written.
    """
    manifest = blobs.verify(home, uri)
    path = blobs.local_path(home, uri) / ROWS
    try:
        table = pyarrow.parquet.read_table(path)
        rows = pd.DataFrame({name: table[name].to_pylist() for name in SCHEMA.names})
    except (OSError, pyarrow.ArrowException, KeyError) as error:
        raise Unavailable(
            f"The file {uri}/{ROWS} cannot be read ({error}); restore it from a backup."
        ) from error
    if rows_sha256(rows) != manifest.get("rows_sha256"):
        raise Unavailable(
            f"The rows of {uri}/{ROWS} are not those that its manifest names; restore both from a "
            "backup."
        )
    return rows


def rows_sha256(rows: pd.DataFrame) -> str:
    """Return the SHA-256 of the rows as canonical JSON lines: the same data, the same hash."""
    digest = hashlib.sha256()
    for row in rows[list(SCHEMA.names)].to_dict("records"):
        row["created_at"] = pd.Timestamp(row["created_at"]).tz_convert("UTC").isoformat()
        line = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _rows_of(judged: pd.DataFrame) -> pd.DataFrame:
    messages = [
        json.dumps(value, ensure_ascii=False, sort_keys=True) for value in judged["messages"]
    ]
    return judged.assign(messages=messages)[list(SCHEMA.names)]


def _counts(rows: pd.DataFrame, column: str) -> dict[str, int]:
    counts = rows[column].value_counts().sort_index()
    return {str(value): int(count) for value, count in counts.items()}


def _latest(session: Session, project_id: int) -> Snapshot | None:
    return session.exec(
        select(Snapshot)
        .where(Snapshot.project_id == project_id)
        .order_by(col(Snapshot.id).desc())
        .limit(1)
    ).first()


def _sound(snapshot: Snapshot, home: Path) -> bool:
    try:
        blobs.verify(home, snapshot.uri)
    except Unavailable:
        return False
    return True


def _manifest_of(
    rows: pd.DataFrame, project: Project, digest: str, code_version: str, taken_at: datetime
) -> dict[str, Any]:
    return {
        "project": project.name,
        "rows_sha256": digest,
        "judgments": len(rows),
        "judgments_by_split": _counts(rows, "split"),
        "judgments_by_annotator": _counts(rows, "annotator_id"),
        "judgments_by_policy_version": _counts(rows, "policy_version"),
        "filters": FILTERS,
        "code_version": code_version,
        "taken_at": taken_at.isoformat(),
    }


def _write(rows: pd.DataFrame, manifest: dict[str, Any], home: Path, uri: str) -> None:
    with blobs.write_folder(home, uri) as folder:
        table = pyarrow.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)
        pyarrow.parquet.write_table(table, folder / ROWS)
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (folder / blobs.MANIFEST).write_text(text, encoding="utf-8")
