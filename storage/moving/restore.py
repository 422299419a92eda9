"""Bring a backup back: unpacked and checked beside what is there, then put in its place."""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from storage.clock import now
from storage.engine import build_engine
from storage.errors import BadInput, Conflict, Unavailable
from storage.home import prepare_home
from storage.migrate import newest_revision, revisions
from storage.moving.archive import Progress, read_manifest, unpack
from storage.moving.backup import DATABASE, FOLDERS, check_sqlite
from storage.moving.postgres_tools import restore_database
from storage.moving.ways_in import (
    BroughtBack,
    Closed,
    StoredAccount,
    brought_back,
    close_ways_in,
    stored_accounts,
)


@dataclass(frozen=True)
class Restored:
    """Tell what came back; `kept` is where the SQLite file that was replaced is now.

    `closed` is None where the ways in were kept as the backup has them. `changed` are the accounts
    that the replaced database had otherwise, None where there was none to compare with.
    """

    made_at: str
    files: int
    kept: Path | None
    needs_upgrade: bool
    elsewhere: list[str]
    closed: Closed | None
    changed: tuple[BroughtBack, ...] | None


def restore(
    file: Path, *, url: str, home: Path, replace: bool, keep_sign_ins: bool, progress: Progress
) -> Restored:
    """Restore a backup into the database at `url` and the files into `home`.

    Sign-ins, invitations and tokens that the backup has open are closed, since they may have been
    ended, used or revoked since; `keep_sign_ins` leaves them open. The web server and the worker
    must be stopped. Raises `BadInput` where the file is no whole backup or one of the other kind of
    database, `Conflict` where something is there already (without `replace`) or the database is in
    use, `Unavailable` where a file is damaged.
    """
    manifest = read_manifest(file)
    _refuse_unfit(file, manifest, url)
    prepare_home(home)
    with TemporaryDirectory(prefix=".rankloop-restore-", dir=home) as name:
        folder = Path(name)
        unpack(file, manifest, folder, progress=progress)
        copy = folder / DATABASE[manifest["database"]]
        files = [each for each in sorted((folder / "files").rglob("*")) if each.is_file()]
        _refuse_files(files, folder / "files", home, replace)
        if manifest["database"] == "sqlite":
            check_sqlite(copy)
        _refuse_database(url, manifest["revision"], replace)
        replaced = _replaced_accounts(make_url(url)) if replace else None
        # Files first: a database never names what is not there.
        _put_files(files, folder / "files", home)
        progress("restoring the database", 1.0)
        if manifest["database"] == "sqlite":
            # Closed before it is put in place: no instant in which what was revoked is good.
            restored, closed = _close(f"sqlite:///{copy}", keep_sign_ins)
            kept = _put_sqlite(copy, Path(str(make_url(url).database)))
        else:
            kept = None
            _put_postgres(copy, url, replace)
            restored, closed = _close(url, keep_sign_ins)
    return Restored(
        made_at=manifest["made_at"],
        files=len(files),
        kept=kept,
        needs_upgrade=manifest["revision"] != newest_revision(),
        elsewhere=list(manifest.get("elsewhere", [])),
        closed=closed,
        changed=None if replaced is None else brought_back(restored, replaced),
    )


def _replaced_accounts(url: URL) -> list[StoredAccount] | None:
    """Return the accounts of the database to be replaced; None where none can be read."""
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        return None
    engine = build_engine(url.render_as_string(hide_password=False))
    try:
        return stored_accounts(engine) or None
    finally:
        engine.dispose()


def _close(url: str, keep_sign_ins: bool) -> tuple[list[StoredAccount], Closed | None]:
    """Close the ways into a restored database unless they are kept; return its accounts, too."""
    engine = build_engine(url)
    try:
        return stored_accounts(engine) or [], None if keep_sign_ins else close_ways_in(engine)
    finally:
        # The last connection writes SQLite's log into the file and takes it away.
        engine.dispose()


def _refuse_unfit(file: Path, manifest: dict[str, Any], url: str) -> None:
    kind, wanted = str(manifest.get("database")), make_url(url).get_backend_name()
    if DATABASE.get(kind) not in manifest["files"]:
        raise BadInput(f"{file} holds no database that this version knows; use another backup.")
    if kind != wanted:
        raise BadInput(
            f"{file} is of {kind} and the database in use is {wanted}; restore it where "
            f"RANKLOOP_DATABASE_URL is of {kind}, then run `rankloop db copy --to URL`."
        )
    if manifest.get("revision") not in revisions():
        raise BadInput(
            f"{file} was made by a newer rankloop (revision {manifest.get('revision')}); install "
            "that version."
        )
    for name in manifest["files"]:
        known = name == DATABASE[kind] or name.startswith(tuple(f"files/{one}/" for one in FOLDERS))
        if not known:
            raise BadInput(f"{file} holds {name}, which no backup of this version has.")


def _refuse_files(files: list[Path], root: Path, home: Path, replace: bool) -> None:
    for one in files:
        there = home / one.relative_to(root)
        if there.exists() and not replace and there.read_bytes() != one.read_bytes():
            raise Conflict(
                f"{there} exists and differs from the backup's; add --replace to overwrite it, or "
                "restore into another RANKLOOP_HOME."
            )


def _put_files(files: list[Path], root: Path, home: Path) -> None:
    for one in files:
        target = home / one.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(one, target)


def _refuse_database(url: str, revision: str, replace: bool) -> None:
    """Raise `Conflict` where a database is there and may not be replaced, or is in use."""
    file = Path(str(make_url(url).database))
    if make_url(url).get_backend_name() != "sqlite":
        _refuse_postgres(url, revision, replace)
    elif file.exists():
        if not replace:
            raise Conflict(
                f"There is a database at {file} already; add --replace (it is kept under another "
                "name), or restore into another RANKLOOP_HOME."
            )
        _refuse_use(file)


def _put_postgres(copy: Path, url: str, replace: bool) -> None:
    engine = build_engine(url)
    try:
        restore_database(engine, copy, clean=replace)
    finally:
        engine.dispose()


def _put_sqlite(copy: Path, file: Path) -> Path | None:
    file.parent.mkdir(parents=True, exist_ok=True)
    kept, part = None, file.with_name(f".{file.name}.part")
    shutil.copyfile(copy, part)
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    if file.exists():
        kept = file.with_name(f"{file.name}.replaced-{now():%Y%m%dT%H%M%S%f}")
        os.link(file, kept)
        for end in ("-wal", "-shm"):
            # SQLite would play a log of the old file into the new one.
            if (log := Path(f"{file}{end}")).exists():
                os.replace(log, f"{kept}{end}")
    os.replace(part, file)
    return kept


def _refuse_use(file: Path) -> None:
    """Raise `Conflict` while another process has the file open; leave no log of it beside it."""
    with closing(sqlite3.connect(file, timeout=1.0)) as connection:
        try:
            # Only who is alone with a file in WAL mode may leave that mode; -wal and -shm go then.
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            raise Conflict(
                f"The database {file} is in use; stop the web server and the worker first."
            ) from error
        except sqlite3.DatabaseError:
            # What is there is no database any more: a reason to restore.
            return


def _refuse_postgres(url: str, revision: str, replace: bool) -> None:
    engine = build_engine(url)
    try:
        if not inspect(engine).get_table_names():
            return
        if not replace:
            raise Conflict(
                f"The database {engine.url!r} has tables already; add --replace, or restore into "
                "an empty one."
            )
        _refuse_connections(engine)
        _refuse_other_revision(engine, revision)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise Unavailable(
            f"The database {engine.url!r} cannot be used ({reason}); check the URL, and that the "
            "server runs."
        ) from error
    finally:
        engine.dispose()


def _refuse_connections(engine: Engine) -> None:
    with engine.connect() as connection:
        others = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        ).scalar_one()
    engine.dispose()
    if others:
        raise Conflict(
            f"{others} other connections use the database {engine.url!r}; stop the web servers and "
            "the worker first."
        )


def _refuse_other_revision(engine: Engine, revision: str) -> None:
    """Raise `Conflict` where tables that the dump does not know would be left behind."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    engine.dispose()
    if found != revision:
        raise Conflict(
            f"The database {engine.url!r} is at revision {found} and the backup at {revision}; "
            "restore into an empty database, and set RANKLOOP_DATABASE_URL to it."
        )
