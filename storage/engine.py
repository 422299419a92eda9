"""The one place that builds a database engine and opens transactions."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlmodel import Session

from storage import stored_json
from storage.asking_again import AskingAgain
from storage.connections import ask_whether_alive, writers_turn
from storage.errors import BadInput, Unavailable
from storage.storable import UNSTORABLE, json_text, refuse_nul

BUSY_TIMEOUT_MS = 30_000
#: how long readers are waited for before SQLite's log is left as it is
LOG_TIMEOUT_MS = 2_000


def build_engine(url: str) -> Engine:
    """Return an engine for `url`; SQLite gets WAL, `synchronous=FULL` and foreign keys.

    Raises `Unavailable` where the URL cannot be read or is of another kind of database, the
    package for PostgreSQL is absent, or the folder cannot be written.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise Unavailable(
            "The database URL cannot be read; it looks like sqlite:///file.db or "
            "postgresql+psycopg://user@host/name."
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return _build_sqlite(url, parsed.database)
    if parsed.get_backend_name() != "postgresql":
        raise Unavailable(
            f"A database of the kind {parsed.get_backend_name()} cannot be used; the URL must "
            "begin with sqlite:/// or postgresql://."
        )
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_driver_name() == "psycopg" and find_spec("psycopg") is None:
        raise Unavailable(
            "PostgreSQL needs a package that is not installed; run `pip install "
            "'rankloop[postgres]'` where rankloop is installed."
        )
    # What a statement was given (texts, hashes of passwords) is in no error, and so in no log.
    # Last in, first out: the fewer connections are in use, the more has been prepared on each.
    engine = create_engine(
        parsed,
        pool_size=20,
        max_overflow=20,
        pool_use_lifo=True,
        hide_parameters=True,
        json_deserializer=stored_json.parsed,
    )
    event.listen(engine, "handle_error", _refuse_texts)
    event.listen(engine, "connect", _configure_postgresql)
    event.listen(engine, "commit", _refuse_failed)
    ask_whether_alive(engine)
    return engine


def _refuse_texts(context: ExceptionContext) -> None:
    """Say of a text that cannot be stored, or looked for, what is wrong with it."""
    error = context.original_exception
    if isinstance(error, BadInput):
        # Our own, of JSON for SQLite; SQLAlchemy would wrap it.
        raise error
    if isinstance(error, UnicodeEncodeError) or _is_of_texts(error):
        raise BadInput(UNSTORABLE) from error


def _is_of_texts(error: BaseException) -> bool:
    state, said = getattr(error, "sqlstate", ""), str(error)
    # A plain text, which the driver refuses; then JSON, which PostgreSQL does: U+0000, and half a
    # pair, whose state is that of every JSON that cannot be read.
    plain = state is None and "NUL (0x00)" in said
    return plain or state == "22P05" or (state == "22P02" and "surrogate" in said)


def _refuse_failed(connection: Connection) -> None:
    # PostgreSQL answers a COMMIT after a failed statement with a ROLLBACK and no error: what was
    # never stored would be told as saved.
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status.name == "INERROR":
        driver.rollback()
        raise Unavailable(
            "A statement of this transaction failed, so nothing of it is stored; try again."
        )


def _configure_postgresql(connection: Any, _record: Any) -> None:
    # Compiling a statement over all judgments takes seconds, and saves a part of one.
    with connection.cursor() as cursor:
        cursor.execute("SET jit = off")
    connection.commit()


def _build_sqlite(url: str, database: str | None) -> Engine:
    if database and database != ":memory:":
        folder = Path(database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"The folder {folder} cannot be made ({error.strerror}); set RANKLOOP_HOME to a "
                "folder that you can write to."
            ) from error
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
        hide_parameters=True,
        json_serializer=json_text,
        json_deserializer=stored_json.parsed,
    )
    event.listen(engine, "handle_error", _refuse_texts)
    event.listen(engine, "before_cursor_execute", _refuse_nul)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _refuse_nul(
    _connection: Connection, _cursor: Any, _statement: str, parameters: Any, *_more: Any
) -> None:
    # SQLite takes it, and PostgreSQL does not: a database could not be copied there.
    refuse_nul(parameters)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN is deferred and comes too late; ours is sent in `_begin_sqlite`.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # What is erased is written over with zeros; whether that is the default depends on the build.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    # The busy timeout does not hold for this statement: on a new file that others open at the
    # same moment it fails at once.
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def empty_log(engine: Engine) -> bool:
    """Write SQLite's log (-wal) into its file and cut it to nothing; say whether that was done.

    The log holds pages as they were before what was erased. Those who read may need it: after a
    moment it is left as it is, and False is returned. It is emptied then when the last process ends
    that has the file open, or by the next call. PostgreSQL is left alone.
    """
    if engine.dialect.name != "sqlite":
        return True
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        # While it waits for readers, nobody can write: not for as long as writers wait.
        cursor.execute(f"PRAGMA busy_timeout = {LOG_TIMEOUT_MS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            found = cursor.fetchone()
        except sqlite3.OperationalError:
            return False
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            cursor.close()
    finally:
        connection.close()
    return found is not None and not found[0]


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("rankloop_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Open a session for reading; PostgreSQL refuses to write in it, and nothing is ever stored."""
    with Session(engine, expire_on_commit=False, autoflush=False) as session:
        if engine.dialect.name != "postgresql":
            yield session
            return
        session.connection(execution_options={"postgresql_readonly": True})
        yield session
        # After a ROLLBACK the driver forgets what it has prepared, and to plan a small question
        # costs the database more than to answer it.
        session.expunge_all()
        session.commit()


@contextmanager
def reading_through_a_cut(engine: Engine) -> Iterator[Session]:
    """Open a session as `reading` does, whose statements outlive one cut of the connection each.

    What was asked when the connection turned out to be cut is asked once more on another; what was
    answered before stays as it is, though the session follows those rows no longer. Between two
    statements PostgreSQL reads what others have stored meanwhile (READ COMMITTED) in any case, so
    it is as good as the same transaction.
    """
    if engine.dialect.name != "postgresql":
        with reading(engine) as session:
            yield session
        return
    with AskingAgain(engine, expire_on_commit=False, autoflush=False) as session:
        session.begin_to_read()
        yield session
        session.expunge_all()
        # Nothing is stored, and everything is answered.
        with suppress(DBAPIError):
            session.commit()


@contextmanager
def asking(engine: Engine) -> Iterator[Session]:
    """Open a session for one question: PostgreSQL answers it without a transaction around it.

    Ask only: with no transaction to refuse it, a write would be stored at once.
    """
    if engine.dialect.name != "postgresql":
        with reading(engine) as session:
            yield session
        return
    with Session(engine, expire_on_commit=False, autoflush=False) as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        yield session


@contextmanager
def repeatable_reading(engine: Engine) -> Iterator[Session]:
    """Open a session for reading in which every statement sees the database of one moment.

    SQLite in WAL mode reads so by itself.
    """
    options = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with (
        engine.connect().execution_options(**options) as connection,
        Session(connection, expire_on_commit=False) as session,
    ):
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """Open a session whose transaction commits at the end of the block, or rolls back whole.

    SQLite takes its write lock at once (BEGIN IMMEDIATE): a deferred one fails with "database is
    locked" as soon as two writers have read the same page.
    """
    with (
        writers_turn(engine, seconds=BUSY_TIMEOUT_MS / 1000),
        engine.connect().execution_options(rankloop_write=True) as connection,
        Session(connection, expire_on_commit=False) as session,
    ):
        yield session
        session.commit()
