"""Snapshots: judgments and demonstrations frozen in Parquet, so that any round can be repeated."""

import os
import shutil
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from labeling.datasets.freezing import (
    FILTERS,
    TRAINED,
    WITH_MODELS,
    Frozen,
    Progress,
    frozen,
    hashes_of,
    no_progress,
)
from labeling.datasets.snapshot_files import (
    read_consolidated,
    read_demonstrations,
    read_snapshot,
)
from labeling.datasets.snapshot_list import named_snapshot
from labeling.datasets.snapshot_query import SnapshotQuery
from labeling.datasets.snapshot_rows import SCHEMA, rows_sha256
from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from storage import blobs
from storage.engine import repeatable_reading, writing
from storage.errors import BadInput, Conflict, Unavailable
from storage.tables import Account, Project, Snapshot

__all__ = [
    "FILTERS",
    "SCHEMA",
    "TRAINED",
    "WITH_MODELS",
    "create_snapshot",
    "default_query",
    "read_consolidated",
    "read_demonstrations",
    "read_snapshot",
    "rows_sha256",
    "take_snapshot",
]

LONGEST_NAME = 100


def default_query(project: Project) -> SnapshotQuery:
    """Return what a round trains on: all that may be used, as the project says."""
    settings = labeling_settings(project)
    return SnapshotQuery(
        models="taken" if settings.model_annotators.train else "out",
        reliability=settings.reliability.reliability_weights,
        consolidation=settings.reliability.consolidation,
    )


def take_snapshot(
    engine: Engine,
    *,
    project: Project,
    folder: Path,
    code_version: str,
    account: Account | None = None,
    query: SnapshotQuery | None = None,
    name: str = "",
    progress: Progress = no_progress,
    store: str = "",
) -> Snapshot:
    """Freeze the judgments of a query; annotators go on judging meanwhile.

    `folder` is the snapshots' folder, directly under home: the files are in its `snapshot-N-HASH`,
    and `uri` is relative to home. With an object store, `store`, they are put there. Only the last
    moment, when the files are whole and where they stay, is a writing transaction. Where a snapshot
    of the same query holds the same rows, and its files are sound, that one is returned, unless a
    new `name` is given. `account` asks (None: the server's shell, or a round). Raises `BadInput`,
    `Conflict` where the name is taken, `NotAllowed`.
    """
    if account is not None:
        require(account, Action.EXPORT, project_id=key_of(project))
    name = valid_name(name)
    wanted = query or default_query(project)
    with (
        repeatable_reading(engine) as session,
        frozen(
            session,
            project=project,
            query=wanted,
            folder=folder,
            code_version=code_version,
            progress=progress,
        ) as ready,
    ):
        uri = ""
        # Before the transaction: an upload takes long, and annotators write meanwhile.
        if store and (name or _same(session, key_of(project), ready, folder.parent) is None):
            uri = _uploaded(ready, folder, store)
        with writing(engine) as transaction:
            return _stored(transaction, ready, project, folder, account, name, uri)


def create_snapshot(
    session: Session,
    *,
    project: Project,
    folder: Path,
    code_version: str,
    query: SnapshotQuery | None = None,
) -> Snapshot:
    """Freeze as `take_snapshot` does, all within the caller's transaction."""
    with frozen(
        session,
        project=project,
        query=query or default_query(project),
        folder=folder,
        code_version=code_version,
    ) as ready:
        return _stored(session, ready, project, folder, None, "")


def _stored(
    session: Session,
    ready: Frozen,
    project: Project,
    folder: Path,
    account: Account | None,
    name: str,
    uri: str = "",
) -> Snapshot:
    """Put the files in their place, unless they are at `uri`, and store the row.

    Returns an equal one that is there.
    """
    project_id = key_of(project)
    # Two who make a snapshot at once take their turns: one finds the other's, or that its name is
    # taken.
    session.exec(
        select(Project.id).where(Project.id == project_id).with_for_update(key_share=True)
    ).one()
    _refuse_taken(session, project_id, name)
    same = _same(session, project_id, ready, folder.parent)
    if same is not None and not name:
        return same
    manifest = ready.manifest
    digest = manifest["rows_sha256"]
    snapshot = Snapshot(
        project_id=project_id,
        name=name,
        query=manifest["query"],
        by_id=account.id if account else None,
        uri="",
        rows_sha256=digest,
        manifest=manifest,
        created_at=datetime.fromisoformat(manifest["taken_at"]),
    )
    session.add(snapshot)
    session.flush()
    # The hash keeps apart what two databases in one home call by the same number.
    snapshot.uri = uri or f"{folder.name}/snapshot-{snapshot.id}-{digest[:12]}"
    if not uri:
        with blobs.write_folder(folder.parent, snapshot.uri) as place:
            for file in ready.folder.iterdir():
                os.replace(file, place / file.name)
    record(
        session,
        project_id=project_id,
        account_id=account.id if account else None,
        kind="snapshot.created",
        snapshot_id=snapshot.id,
        rows_sha256=digest,
        judgments=manifest["judgments"],
        demonstrations=manifest["demonstrations"],
    )
    session.flush()
    return snapshot


def _uploaded(ready: Frozen, folder: Path, store: str) -> str:
    """Put the files on an object store under a name that nothing has; return its URI."""
    digest = ready.manifest["rows_sha256"]
    uri = blobs.in_store(store, f"{folder.name}/snapshot-{digest[:12]}-{uuid4().hex[:12]}")
    with blobs.write_folder(folder.parent, uri) as place:
        for file in ready.folder.iterdir():
            shutil.copyfile(file, place / file.name)
    return uri


def valid_name(name: str) -> str:
    """Return what a snapshot may be called, or ""; raise `BadInput` otherwise.

    It is found by it in addresses and commands, so it looks like no number and like no path.
    """
    found = " ".join(name.split())
    fits = len(found) <= LONGEST_NAME and found.isprintable() and not found.isdecimal()
    if not fits or bool(found) != bool(name) or found in (".", "..") or set(found) & {"/", "\\"}:
        raise BadInput(
            f"A snapshot cannot be called {name[:LONGEST_NAME]!r}; a name has 1 to {LONGEST_NAME} "
            "printable characters without / and \\, not only digits or dots."
        )
    return found


def _refuse_taken(session: Session, project_id: int, name: str) -> None:
    if name and named_snapshot(session, project_id=project_id, name=name) is not None:
        raise Conflict(f"There is a snapshot {name} already, and it stays; choose another name.")


def _same(session: Session, project_id: int, ready: Frozen, home: Path) -> Snapshot | None:
    """Return the newest snapshot with the same query and rows whose files are sound."""
    statement = (
        select(Snapshot)
        .where(
            Snapshot.project_id == project_id,
            Snapshot.rows_sha256 == ready.manifest["rows_sha256"],
        )
        .order_by(col(Snapshot.id).desc())
    )
    return next((each for each in session.exec(statement) if _is_of(each, ready, home)), None)


def _is_of(snapshot: Snapshot, ready: Frozen, home: Path) -> bool:
    return (
        snapshot.query == ready.manifest["query"]
        and hashes_of(snapshot.manifest) == ready.hashes
        and _sound(snapshot, home)
    )


def _sound(snapshot: Snapshot, home: Path) -> bool:
    try:
        blobs.checked_path(home, snapshot.uri)
    except Unavailable:
        return False
    return True
