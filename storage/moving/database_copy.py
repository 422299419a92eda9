"""Copy a database into an empty one of the same or the other kind: all of it, checked, or nothing.

Everything is written in one transaction of the target. Before it is committed, every table is read
back and compared with the source by count and hash, and the source is looked at once more: what
came in meanwhile would be lost.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, bindparam, func, inspect, select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, StatementError

from storage.clock import now
from storage.engine import build_engine
from storage.errors import BadInput, Conflict, Unavailable
from storage.migrate import check_version, upgrade
from storage.moving.postgres_rows import copy_rows
from storage.moving.row_hashes import TableHash, hash_table, stream_rows, tables
from storage.storable import is_storable

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class CopiedTable:
    """Tell how many rows of a table were copied, and their hash on both sides."""

    name: str
    rows: int
    sha256: str


def copy_database(source: Engine, target_url: str, *, progress: Progress) -> list[CopiedTable]:
    """Copy every row of `source` into the empty database at `target_url`; return what was copied.

    Its tables are made where it has none. Raises `BadInput` where the target is the source,
    `Conflict` where it has rows, or where the source changed meanwhile, `Unavailable` where one of
    them cannot be used or a row does not arrive as it was. The target is then left without rows.
    """
    check_version(source)
    target = build_engine(target_url)
    try:
        if address_of(target.url) == address_of(source.url):
            raise BadInput("The database to copy to is the one in use; name another one with --to.")
        _refuse_rows(target)
        upgrade(target, backup=False)
        with _one_moment(source) as reader, _all_or_nothing(target) as writer:
            _refuse_rows_of(writer)
            sent = _send(reader, writer, progress)
            _set_sequences(writer)
            _compare(writer, sent, progress)
            _refuse_change(source, sent)
            _record(writer, source, sent)
    finally:
        target.dispose()
    return [CopiedTable(name, one.rows, one.sha256) for name, one in sent.items()]


def address_of(url: URL) -> URL:
    """Return the URL of a database, a SQLite file's with its whole path: good in every folder.

    A password is in it; its `repr` has none.
    """
    if url.get_backend_name() != "sqlite" or not url.database:
        return url
    return url.set(database=str(Path(url.database).absolute()))


def _refuse_rows(target: Engine) -> None:
    """Raise `Conflict` before anything is changed; what cannot be read is for `upgrade` to say."""
    try:
        with target.connect() as connection:
            _refuse_rows_of(connection)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise Unavailable(
            f"The database {target.url!r} cannot be used ({reason}); check the URL, and that the "
            "server runs."
        ) from error


def _refuse_rows_of(connection: Connection) -> None:
    there = set(inspect(connection).get_table_names())
    for table in tables():
        if (
            table.name in there
            and connection.execute(select(text("1")).select_from(table).limit(1)).first()
        ):
            raise Conflict(
                f"The database {connection.engine.url!r} has rows in {table.name} already; copy "
                "into an empty one."
            )


@contextmanager
def _one_moment(engine: Engine) -> Iterator[Connection]:
    """Open a connection in which every statement sees the database of one moment."""
    options = {"isolation_level": "REPEATABLE READ"} if _is_postgres(engine) else {}
    with engine.connect().execution_options(**options) as connection:
        yield connection


@contextmanager
def _all_or_nothing(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(rankloop_write=True) as connection:
        yield connection
        connection.commit()


def _is_postgres(engine: Engine) -> bool:
    return engine.dialect.name == "postgresql"


def _send(reader: Connection, writer: Connection, progress: Progress) -> dict[str, TableHash]:
    counts = {table.name: _count(reader, table) for table in tables()}
    whole, done = max(1, sum(counts.values())), 0
    sent = {}
    for table in tables():
        found, later = TableHash(), []
        for batch in stream_rows(reader, table):
            found.add_rows(table, batch)
            later += _held_back(table, batch)
            _insert(writer, table, batch)
            done += len(batch)
            progress(f"copying {table.name}", done / whole)
        _add_references(writer, table, later)
        sent[table.name] = found
    return sent


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _insert(writer: Connection, table: Table, batch: list[dict[str, Any]]) -> None:
    try:
        if _is_postgres(writer.engine):
            copy_rows(writer, table, batch)
        else:
            writer.execute(table.insert(), batch)
    except (StatementError, writer.dialect.loaded_dbapi.Error, BadInput) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise Unavailable(
            f"{_which(table, batch)} cannot be stored in {writer.engine.dialect.name} ({reason}); "
            "nothing was copied. Mend that row in the source first."
        ) from error


def _which(table: Table, batch: list[dict[str, Any]]) -> str:
    """Name the row and the column of a text that cannot be stored, or else where to look."""
    for row in batch:
        for column in table.columns:
            if not _is_storable(row[column.name]):
                return f"The {column.name} of row {_key(table, row)} of {table.name}"
    return f"The rows of {table.name} from {_key(table, batch[0])} on"


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return is_storable(value)
    if isinstance(value, dict):
        return all(map(_is_storable, (*value, *value.values())))
    return not isinstance(value, list) or all(map(_is_storable, value))


def _key(table: Table, row: dict[str, Any]) -> str:
    return ", ".join(str(row[column.name]) for column in table.primary_key.columns)


def _held_back(table: Table, batch: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """Take references to rows that come later out of the batch; return (column, id, wanted)."""
    own = [key.parent.name for key in table.foreign_keys if key.column.table is table]
    held = []
    for row in batch:
        for name in own:
            if row[name] is not None and row[name] > row["id"]:
                held.append((name, row["id"], row[name]))
                row[name] = None
    return held


def _add_references(writer: Connection, table: Table, held: list[tuple[str, int, int]]) -> None:
    for name, key, wanted in held:
        statement = update(table).where(table.c.id == bindparam("key")).values({name: wanted})
        writer.execute(statement, {"key": key})


def _set_sequences(writer: Connection) -> None:
    """Let PostgreSQL go on numbering behind the newest row; SQLite does so by itself."""
    if not _is_postgres(writer.engine):
        return
    for table in tables():
        column = table.autoincrement_column
        newest = column is not None and writer.execute(select(func.max(column))).scalar_one()
        if column is not None and newest:
            writer.execute(
                select(
                    func.setval(func.pg_get_serial_sequence(f'"{table.name}"', column.name), newest)
                )
            )


def _compare(writer: Connection, sent: dict[str, TableHash], progress: Progress) -> None:
    whole, done = max(1, sum(one.rows for one in sent.values())), 0
    for table in tables():
        found = hash_table(writer, table)
        if found != sent[table.name]:
            raise Unavailable(
                f"Table {table.name} did not arrive as it was ({found.rows} rows of "
                f"{sent[table.name].rows}, hash {found.sha256[:12]} instead of "
                f"{sent[table.name].sha256[:12]}); nothing was copied. Please report this."
            )
        done += found.rows
        progress("checking counts and hashes", done / whole)


def _refuse_change(source: Engine, sent: dict[str, TableHash]) -> None:
    with source.connect() as connection:
        for table in tables():
            count = _count(connection, table)
            if count != sent[table.name].rows:
                raise Conflict(
                    f"Table {table.name} changed while it was copied ({sent[table.name].rows} rows "
                    f"then, {count} now); nothing was copied. Stop the web server and the worker, "
                    "then copy again."
                )


def _record(writer: Connection, source: Engine, sent: dict[str, TableHash]) -> None:
    """Leave the target's first own event: where its rows came from."""
    event = next(table for table in tables() if table.name == "event")
    detail = {
        "from": source.dialect.name,
        "rows": sum(one.rows for one in sent.values()),
        "sha256": {name: one.sha256 for name, one in sent.items() if one.rows},
    }
    writer.execute(
        event.insert(),
        {"kind": "database.copied", "detail": detail, "audited": True, "created_at": now()},
    )
