"""SQLite that leaves its files to the kernel: no power fails in a test, and a flush is slow.

Only what the tests' own process opens is so (PostgreSQL, in `postgres_cluster.py`, is so too);
servers and workers, which tests kill, flush every commit as they do for everybody.
"""

from typing import Any

from storage.engine import _configure_sqlite

#: what `storage.engine` does with a new connection where no test is about
configure_as_shipped = _configure_sqlite


def configure_unflushed(connection: Any, record: Any) -> None:
    """Configure a new connection as shipped, but let a commit not wait for the disk."""
    configure_as_shipped(connection, record)
    connection.execute("PRAGMA synchronous = OFF")
