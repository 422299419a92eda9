"""Bring a database to the newest revision, and refuse one that this version cannot read."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from storage.clock import now
from storage.engine import BUSY_TIMEOUT_MS, build_engine
from storage.errors import Unavailable

# Any fixed number: two processes that upgrade one PostgreSQL database wait for each other on it.
ADVISORY_LOCK = 7_215_433
MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(database: str | Engine, *, backup: bool = True) -> Path | None:
    """Bring `database` to the newest revision in one transaction; make its tables if it has none.

    A SQLite file that already has tables is first copied beside itself (unless `backup` is
    False); the copy's path is returned. Raises `Unavailable` where the database is from a newer
    version, is not Rankloop's, or cannot be opened.
    """
    url = _url(database)
    if url.get_backend_name() == "sqlite":
        # The first connection makes the folder and switches the file to WAL.
        with _sentences(url), build_engine(_text(url)).connect():
            pass
    with _sentences(url), migrating(url) as connection:
        current = _revision(connection)
        _refuse_newer(url, current)
        if current is None and inspect(connection).get_table_names():
            raise Unavailable(
                f"The database {url!r} holds tables that rankloop did not make; "
                "set RANKLOOP_DATABASE_URL to an empty one."
            )
        if current == newest_revision():
            return None
        copy = _back_up(url, current) if backup and current is not None else None
        command.upgrade(alembic_config(connection), "head")
    return copy


def check_version(engine: Engine) -> None:
    """Raise `Unavailable` unless the database of `engine` is at this version's revision."""
    with _sentences(engine.url), engine.connect() as connection:
        current = _revision(connection)
    _refuse_newer(engine.url, current)
    if current is None:
        raise Unavailable(
            f"The database {engine.url!r} has no rankloop tables yet; run `rankloop init`."
        )
    if current != newest_revision():
        raise Unavailable(
            f"The database {engine.url!r} was made by an older rankloop (revision {current}); "
            "run `rankloop init` to upgrade it."
        )


def revisions() -> list[str]:
    """Return every revision that this version knows, oldest first."""
    return list(_revisions_in(MIGRATIONS))


# Alembic reads and runs every one of the files, and each command asks.
@cache
def _revisions_in(folder: Path) -> tuple[str, ...]:
    scripts = ScriptDirectory(str(folder))
    return tuple(script.revision for script in scripts.walk_revisions())[::-1]


def newest_revision() -> str:
    """Return the revision that this version's tables are at."""
    return revisions()[-1]


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration; the packaged migrations need no file for it."""
    config = Config(attributes={"connection": connection})
    # ConfigParser reads % as the start of an interpolation.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


@contextmanager
def migrating(database: str | URL) -> Iterator[Connection]:
    """Open the one transaction of a migration, on an engine of its own.

    Alembic alters a SQLite table by copying and dropping it: with foreign keys on, the drop
    would delete every row that refers to it, silently. They are off here, and all references are
    checked before the commit (`Unavailable` if one is broken; nothing is changed then).
    """
    url = make_url(database)
    sqlite = url.get_backend_name() == "sqlite"
    engine = _sqlite_engine(url) if sqlite else build_engine(_text(url))
    try:
        with engine.begin() as connection:
            if not sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
            yield connection
            if sqlite:
                _refuse_broken_references(url, connection)
    finally:
        engine.dispose()


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        # Has no effect inside a transaction, so it comes before BEGIN.
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA synchronous = FULL")

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _refuse_broken_references(url: URL, connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise Unavailable(
            f"The upgrade of {url!r} was undone: row {broken[1]} of table {broken[0]} would "
            f"refer to nothing in {broken[2]}; please report this with `rankloop doctor --json`."
        )


def _back_up(url: URL, current: str) -> Path | None:
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    file = Path(url.database)
    copy = file.with_name(f"{file.name}.{current}-{now():%Y%m%dT%H%M%S%f}.backup")
    unfinished = copy.with_suffix(".part")
    # SQLite's own copy is whole even while others write, and holds what is still in the WAL.
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(unfinished)) as target:
        source.backup(target)
    os.replace(unfinished, copy)
    return copy


def _refuse_newer(url: URL, current: str | None) -> None:
    if current is not None and current not in revisions():
        raise Unavailable(
            f"The database {url!r} was made by a newer rankloop (revision {current}); "
            "install that version or restore a backup."
        )


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _url(database: str | Engine) -> URL:
    return database.url if isinstance(database, Engine) else make_url(database)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@contextmanager
def _sentences(url: URL) -> Iterator[None]:
    """Turn a database that cannot be opened into one sentence."""
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise Unavailable(
            f"The database {url!r} cannot be used ({reason}); check RANKLOOP_HOME and "
            "RANKLOOP_DATABASE_URL, and that the server runs."
        ) from error
