"""Statements of tables instead of classes: SQLAlchemy's Core, in a session's transaction.

The ORM takes three times as long to answer with a few columns, and five times as long to write a
row. It stays the way everywhere but on the path of a submit, where an annotator waits.
"""

from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Executable,
    Insert,
    Result,
    Table,
    Update,
    bindparam,
    insert,
    literal_column,
    update,
)
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, select

from storage.asking_again import AskingAgain
from storage.tables.base import Row

_CONNECTION = "rankloop_connection"
_KEEPS_PLANS = "rankloop_keeps_plans"

#: a LIMIT that a plan which is kept knows; for a bound one it would read a tenth of the rows
ONE: ColumnElement[int] = literal_column("1")

Loaded = TypeVar("Loaded", bound=Row)


def table_of(kind: type[Row]) -> Table:
    """Return the table of a class of rows."""
    return Row.metadata.tables[str(kind.__tablename__)]


def execute_core(session: Session, statement: Executable, **values: Any) -> Result[Any]:
    """Run a statement of tables with its bound values.

    What the session has yet to write is written first, as the ORM does before each question.
    """
    session.flush()
    if isinstance(session, AskingAgain):
        return session.once_more(lambda: _connection(session).execute(statement, values))
    return _connection(session).execute(statement, values)


def _connection(session: Session) -> Connection:
    # Asked once a transaction: the session looks through all its binds and states each time.
    known = session.info.get(_CONNECTION)
    if known is not None and known[0] is session.get_transaction():
        return cast(Connection, known[1])
    connection = session.connection()
    session.info[_CONNECTION] = session.get_transaction(), connection
    return connection


def keep_plans(session: Session) -> None:
    """Have PostgreSQL plan each statement of the transaction once a connection, not at each use.

    By itself it plans anew wherever it guesses that a plan for any value is dearer, and it guesses
    so of a queue's first task: planning then takes several times as long as the answer. This is for
    statements that follow the same index whatever they are asked for; their LIMIT is `ONE`.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    if session.info.get(_KEEPS_PLANS) is not session.get_transaction():
        _connection(session).exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        session.info[_KEEPS_PLANS] = session.get_transaction()


def load(session: Session, kind: type[Loaded], key: int) -> Loaded:
    """Return the row with the `id`, as `Session.get_one` does, by a statement that is built once.

    Raises `NoResultFound` where there is none.
    """
    found: Loaded = session.exec(_by_id_statement(kind), params={"key": key}).one()
    return found


@cache
def _by_id_statement(kind: type[Row]) -> Any:
    return select(kind).where(table_of(kind).c.id == bindparam("key"))


def insert_row(session: Session, row: Row) -> None:
    """Write a new row with an `id` and give it its key; the session does not follow it."""
    table = table_of(type(row))
    values = {column.name: getattr(row, column.name) for column in table.columns}
    del values["id"]
    result = execute_core(session, _insert_statement(table), **values)
    assert isinstance(result, CursorResult)
    assert result.inserted_primary_key is not None
    set_committed_value(row, "id", result.inserted_primary_key[0])


def update_row(session: Session, row: Row, **values: Any) -> None:
    """Change fields of a stored row that has an `id`, in the database and in the object."""
    key: int = row.id  # type: ignore[attr-defined]
    statement = _update_statement(table_of(type(row)), frozenset(values))
    execute_core(session, statement, key=key, **{f"new_{name}": values[name] for name in values})
    for name, value in values.items():
        set_committed_value(row, name, value)


@cache
def _insert_statement(table: Table) -> Insert:
    return insert(table)


@cache
def _update_statement(table: Table, names: frozenset[str]) -> Update:
    changed = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return update(table).where(table.c.id == bindparam("key")).values(changed)
