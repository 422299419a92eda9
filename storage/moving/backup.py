"""A backup of a running project: its database at one moment and, if asked for, its files."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine
from sqlmodel import select

from storage.blobs import MANIFEST, verify
from storage.clock import now
from storage.engine import BUSY_TIMEOUT_MS, reading
from storage.errors import Conflict, Unavailable
from storage.migrate import check_version, newest_revision
from storage.moving.archive import ArchiveWriter, Progress, write_archive
from storage.moving.postgres_tools import dump_database
from storage.object_store import is_remote
from storage.tables import Policy, Round, Snapshot

DATABASE = {"sqlite": "database.sqlite", "postgresql": "database.pgdump"}
#: what rounds and snapshots wrote; models are fetched anew, logs and caches are made anew
FOLDERS = ("checkpoints", "snapshots")
MODELS = "models"


@dataclass(frozen=True)
class Backup:
    """Tell what was written where; `elsewhere` are the URIs of what is not in it.

    That is what lies on an object store, models, and folders of the user's own.
    """

    file: Path
    bytes: int
    files: int
    elsewhere: list[str]


def back_up(
    engine: Engine, *, home: Path, out: Path, with_files: bool, progress: Progress
) -> Backup:
    """Back the database up while it is in use, with checkpoints and snapshots if asked for.

    `out` is the file to make, or a folder in which it gets a name with the time. Raises `Conflict`
    where the file exists, `Unavailable` where something cannot be read or written, or a checkpoint
    is not what was written.
    """
    check_version(engine)
    file = _file_of(out)
    if file.exists():
        raise Conflict(f"{file} exists already; name another file.")
    kind = engine.dialect.name
    fields = {
        "made_by": "rankloop backup",
        "made_at": now().isoformat(),
        "database": kind,
        "revision": newest_revision(),
        "with_files": with_files,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with (
            TemporaryDirectory(prefix=".rankloop-backup-", dir=file.parent) as folder,
            write_archive(file) as archive,
        ):
            copy = Path(folder) / DATABASE[kind]
            progress("copying the database", 0.0)
            _copy_database(engine, copy)
            # The database first: whatever it names was written before, and stays.
            archive.add(copy, copy.name)
            elsewhere = _add_files(engine, home, archive, progress) if with_files else []
            archive.finish({**fields, "elsewhere": elsewhere})
    except OSError as error:
        raise Unavailable(
            f"The backup {file} cannot be written ({error.strerror}); choose another place, or "
            "make room."
        ) from error
    return Backup(file, file.stat().st_size, len(archive.files), elsewhere)


def _file_of(out: Path) -> Path:
    return out / f"rankloop-{now():%Y%m%dT%H%M%SZ}.tar" if out.is_dir() else out


def _copy_database(engine: Engine, file: Path) -> None:
    if engine.dialect.name == "postgresql":
        dump_database(engine, file)
        return
    with (
        closing(sqlite3.connect(str(engine.url.database))) as source,
        closing(sqlite3.connect(file)) as target,
    ):
        source.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        # In one step: in several, each write of others would make it begin anew.
        source.backup(target, pages=-1)
        target.execute("PRAGMA journal_mode = DELETE")
    check_sqlite(file)


def check_sqlite(file: Path) -> None:
    """Raise `Unavailable` unless the file is a whole database without broken references."""
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        except sqlite3.DatabaseError as error:
            said, broken = str(error), None
    if said != "ok" or broken is not None:
        why = said if said != "ok" else f"row {broken[1]} of {broken[0]} refers to nothing"
        raise Unavailable(
            f"The copy of the database is damaged ({why}); run `rankloop doctor`, and restore an "
            "older backup if the database itself is."
        )


def _add_files(engine: Engine, home: Path, archive: ArchiveWriter, progress: Progress) -> list[str]:
    """Add the folders of checkpoints and snapshots; return the URIs that are elsewhere.

    A folder without a manifest is still being written, or keeps how far a round's step is.
    """
    uris = sorted(_named_uris(engine))
    inside = [uri for uri in uris if uri.startswith(tuple(f"{name}/" for name in FOLDERS))]
    manifests = [path for name in FOLDERS for path in sorted((home / name).glob(f"*/{MANIFEST}"))]
    folders = [path.parent.relative_to(home).as_posix() for path in manifests]
    for uri in inside:
        if uri not in folders:
            raise Unavailable(
                f"The database names {uri}, which is not whole under {home}; restore that folder, "
                "or back up without --with-files."
            )
    for done, uri in enumerate(folders):
        progress("checking and adding files", done / len(folders))
        for name in [*verify(home, uri)["files"], MANIFEST]:
            archive.add(home / uri / name, f"files/{uri}/{name}")
    return [uri for uri in uris if uri not in inside]


def _named_uris(engine: Engine) -> set[str]:
    with reading(engine) as session:
        policies = session.exec(select(Policy.checkpoint_uri)).all()
        snapshots = session.exec(select(Snapshot.uri)).all()
        rounds = session.exec(select(Round.artefacts)).all()
    # Reward models and the like under home are found there; those on an object store only here.
    remote = [uri for one in rounds for uri in one.values() if is_remote(uri)]
    return {uri for uri in (*policies, *snapshots, *remote) if uri}
