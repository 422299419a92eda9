"""Snapshots: judgments and demonstrations frozen in Parquet, so that any round can be repeated."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
from sqlmodel import Session, col, select

from labeling.datasets.judged import judged_tasks
from labeling.events import record
from labeling.judging.demonstrations import demonstrations_of
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from storage import blobs
from storage.clock import now
from storage.errors import Unavailable
from storage.tables import Project, Snapshot, Split

ROWS = "judgments.parquet"
DEMONSTRATIONS = "demonstrations.parquet"
#: In the manifest: how many judgments of each annotator are trained on, by account id as text.
TRAINED = "trained_judgments_by_annotator"
FILTERS = {
    "judgments": "current, not discarded, no tests; where a lead decided, the decision alone",
    "accounts": "active, no models",
}
WITH_MODELS = {"accounts": "active, models only of tasks that they took without people"}
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
DEMONSTRATION_SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.int64()),
        ("prompt_id", pyarrow.int64()),
        ("split", pyarrow.string()),
        ("messages", pyarrow.string()),
        ("text", pyarrow.string()),
        ("annotator_id", pyarrow.int64()),
        ("created_at", pyarrow.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True)
class _Frozen:
    """What a snapshot holds, and the hashes of it."""

    judgments: pd.DataFrame
    demonstrations: pd.DataFrame

    @cached_property
    def judgments_sha256(self) -> str:
        return rows_sha256(self.judgments)

    @cached_property
    def demonstrations_sha256(self) -> str:
        return rows_sha256(self.demonstrations, DEMONSTRATION_SCHEMA)

    def is_of(self, snapshot: Snapshot) -> bool:
        # A snapshot from before demonstrations were frozen says nothing of them: it had none.
        manifest = snapshot.manifest
        return snapshot.rows_sha256 == self.judgments_sha256 and (
            manifest.get("demonstrations_sha256") == self.demonstrations_sha256
            or ("demonstrations_sha256" not in manifest and self.demonstrations.empty)
        )


def create_snapshot(
    session: Session, *, project: Project, folder: Path, code_version: str
) -> Snapshot:
    """Freeze current judgments and demonstrations by active accounts that are no models.

    `folder` is the snapshots' folder, directly under home: the files are in its `snapshot-N-HASH`,
    and `uri` is relative to home. The files are whole and on disk before the caller's transaction
    can commit the row. Where the rows are those of the project's latest snapshot and its files are
    sound, that one is returned.
    """
    taken_at = now()
    project_id = key_of(project)
    models = labeling_settings(project).model_annotators.train
    frozen = _Frozen(
        _with_json(judged_tasks(session, project_id=project_id, include_models=models), SCHEMA),
        _with_json(demonstrations_of(session, project_id=project_id), DEMONSTRATION_SCHEMA),
    )
    latest = _latest(session, project_id)
    if latest is not None and frozen.is_of(latest) and _sound(latest, folder.parent):
        return latest
    digest = frozen.judgments_sha256
    manifest = _manifest_of(frozen, project, code_version, taken_at)
    manifest["filters"] = FILTERS | (WITH_MODELS if models else {})
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
    _write(frozen, manifest, folder.parent, snapshot.uri)
    record(
        session,
        project_id=project.id,
        account_id=None,
        kind="snapshot.created",
        snapshot_id=snapshot.id,
        rows_sha256=digest,
        judgments=len(frozen.judgments),
        demonstrations=len(frozen.demonstrations),
    )
    session.flush()
    return snapshot


def read_snapshot(uri: str, home: Path) -> pd.DataFrame:
    """Return a snapshot's rows, one a judgment, oldest first.

    Columns as in `SCHEMA`: `judgment_id` is 0 where a lead decided, `messages` is JSON text,
    `ranks`, `completion_ids`, `completions` and `finish_reasons` are lists by task position.
    Raises `Unavailable` naming the file that is missing, unreadable or not the one that was
    written.
    """
    manifest = blobs.verify(home, uri)
    return _read(home, f"{uri}/{ROWS}", SCHEMA, manifest.get("rows_sha256"))


def read_demonstrations(uri: str, home: Path) -> pd.DataFrame:
    """Return a snapshot's demonstrations, oldest first; none for a snapshot from before them.

    Columns as in `DEMONSTRATION_SCHEMA`: `messages` is JSON text. Raises `Unavailable` as
    `read_snapshot` does.
    """
    manifest = blobs.verify(home, uri)
    if "demonstrations_sha256" not in manifest:
        return pd.DataFrame({name: [] for name in DEMONSTRATION_SCHEMA.names})
    file = f"{uri}/{DEMONSTRATIONS}"
    return _read(home, file, DEMONSTRATION_SCHEMA, manifest["demonstrations_sha256"])


def rows_sha256(rows: pd.DataFrame, schema: pyarrow.Schema = SCHEMA) -> str:
    """Return the SHA-256 of the rows as canonical JSON lines: the same data, the same hash."""
    digest = hashlib.sha256()
    for row in rows[list(schema.names)].to_dict("records"):
        row["created_at"] = pd.Timestamp(row["created_at"]).tz_convert("UTC").isoformat()
        line = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _read(home: Path, file: str, schema: pyarrow.Schema, digest: str | None) -> pd.DataFrame:
    folder, _, name = file.rpartition("/")
    try:
        table = pyarrow.parquet.read_table(blobs.local_path(home, folder) / name)
        rows = pd.DataFrame({name: table[name].to_pylist() for name in schema.names})
    except (OSError, pyarrow.ArrowException, KeyError) as error:
        raise Unavailable(
            f"The file {file} cannot be read ({error}); restore it from a backup."
        ) from error
    if rows_sha256(rows, schema) != digest:
        raise Unavailable(
            f"The rows of {file} are not those that its manifest names; restore both from a backup."
        )
    return rows


def _with_json(rows: pd.DataFrame, schema: pyarrow.Schema) -> pd.DataFrame:
    messages = [json.dumps(value, ensure_ascii=False, sort_keys=True) for value in rows["messages"]]
    return rows.assign(messages=messages)[list(schema.names)]


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
    frozen: _Frozen, project: Project, code_version: str, taken_at: datetime
) -> dict[str, Any]:
    rows = frozen.judgments
    return {
        "project": project.name,
        "rows_sha256": frozen.judgments_sha256,
        "judgments": len(rows),
        "judgments_by_split": _counts(rows, "split"),
        "judgments_by_annotator": _counts(rows, "annotator_id"),
        TRAINED: _counts(_trained(rows), "annotator_id"),
        "judgments_by_policy_version": _counts(rows, "policy_version"),
        "demonstrations": len(frozen.demonstrations),
        "demonstrations_by_split": _counts(frozen.demonstrations, "split"),
        "demonstrations_sha256": frozen.demonstrations_sha256,
        "filters": FILTERS,
        "code_version": code_version,
        "taken_at": taken_at.isoformat(),
    }


def _trained(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the annotators' own judgments (no lead's decisions) that training may use."""
    return rows[(rows["split"] == Split.TRAIN.value) & (rows["judgment_id"] > 0)]


def _write(frozen: _Frozen, manifest: dict[str, Any], home: Path, uri: str) -> None:
    with blobs.write_folder(home, uri) as folder:
        for rows, schema, name in (
            (frozen.judgments, SCHEMA, ROWS),
            (frozen.demonstrations, DEMONSTRATION_SCHEMA, DEMONSTRATIONS),
        ):
            table = pyarrow.Table.from_pandas(rows, schema=schema, preserve_index=False)
            pyarrow.parquet.write_table(table, folder / name)
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (folder / blobs.MANIFEST).write_text(text, encoding="utf-8")
