"""Insert many rows of one table: on SQLite what is bound is worked out once for what is the same.

SQLAlchemy makes the parameters of each row anew, JSON of its empty lists too, and takes longer for
that than SQLite takes to store them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Dialect, Table, insert
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import Session, func, select

from storage.core import table_of


def insert_rows(session: Session, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all name the same columns; the session must be writing.

    Columns that they do not name get their defaults.
    """
    if not rows:
        return
    connection = session.connection()
    statement = insert(table)
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(rows[0]))
    assert isinstance(compiled, SQLCompiler)
    # Defaults that Python gives are SQLAlchemy's to work out.
    if connection.dialect.name != "sqlite" or compiled.insert_prefetch:
        connection.execute(statement, list(rows))
        return
    names = list(compiled.positiontup or ())
    columns = [
        _bound([row[name] for row in rows], table, name, connection.dialect) for name in names
    ]
    connection.exec_driver_sql(str(compiled), list(zip(*columns, strict=True)))


def insert_for_keys(session: Session, table: Any, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Insert rows of a class whose key is `id`; return their keys in the same order.

    As with `insert_rows`, all name the same columns, and the session must be writing.
    """
    if not rows:
        return []
    if session.get_bind().dialect.name == "sqlite":
        return _insert_numbered(session, table, rows)
    statement = insert(table).returning(table.id, sort_by_parameter_order=True)
    return list(session.execute(statement, list(rows)).scalars())


def _insert_numbered(session: Session, table: Any, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Insert rows under the keys that SQLite would give them: it can tell keys of one row only.

    Nobody else writes meanwhile: a transaction that writes is alone from its beginning.
    """
    newest = session.exec(select(func.max(table.id))).one() or 0
    keys = list(range(newest + 1, newest + 1 + len(rows)))
    numbered = [{"id": key, **row} for key, row in zip(keys, rows, strict=True)]
    insert_rows(session, table_of(table), numbered)
    return keys


def _bound(values: list[Any], table: Table, name: str, dialect: Dialect) -> Iterator[Any]:
    """Yield what the driver is given for the values of a column."""
    bind = table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
    if bind is None:
        yield from values
        return
    # The rows hold every object meanwhile, so that no other has its id.
    known: dict[int, Any] = {}
    for value in values:
        if id(value) not in known:
            known[id(value)] = bind(value)
        yield known[id(value)]
