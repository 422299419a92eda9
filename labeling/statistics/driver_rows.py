"""Rows of large tables as the database's driver gives them, without an object of ours a row."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Executable
from sqlmodel import Session

from labeling.statistics.collection_pause import no_collection

# Rows that are there at once: a million of them would take a gigabyte.
_AT_ONCE = 20_000


def driver_rows(session: Session, statement: Executable) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield batches of rows; their values are the driver's own, so cast what it may give otherwise.

    It takes less than half the time of SQLAlchemy's rows. Python's collector pauses until the last
    batch was taken: turn each into arrays, and take the next.
    """
    result = session.connection().execute(statement.execution_options(stream_results=True))
    try:
        # A result that streams has read one row ahead of whoever asks for rows.
        ahead = result.fetchone()
        if ahead is None:
            return
        with no_collection():
            yield [tuple(ahead)]
            assert result.cursor is not None
            while rows := result.cursor.fetchmany(_AT_ONCE):
                yield rows
    finally:
        result.close()
