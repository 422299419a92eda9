"""Rows into PostgreSQL by COPY: what a statement a row would take minutes for."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Table

Processor = Callable[[Any], Any] | None


def copy_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Store rows (column name → value) by COPY, in the connection's own transaction.

    Values go through the types of the columns, as in an INSERT. Raises `psycopg.Error` where a
    value does not fit; no row of these is stored then, and the transaction has failed.
    """
    quote = connection.dialect.identifier_preparer
    names = [column.name for column in table.columns]
    processors = _processors(connection, table)
    listed = ", ".join(quote.quote(name) for name in names)
    driver: Any = connection.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {quote.format_table(table)} ({listed}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(
                [
                    row[name] if process is None else process(row[name])
                    for name, process in zip(names, processors, strict=True)
                ]
            )


def _processors(connection: Connection, table: Table) -> list[Processor]:
    dialect = connection.dialect
    return [column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns]
