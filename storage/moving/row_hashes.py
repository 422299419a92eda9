"""Counts and hashes of tables that are equal on SQLite and PostgreSQL where the rows are."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec
from sqlalchemy import JSON, Connection, Float, Table, select

from storage.tables import Row

_AT_ONCE = 2000
_MODULUS = 2**256
_TEXT = msgspec.json.Encoder(order="sorted").encode
# Most values are plain and stay as they are.
_PLAIN = frozenset({str, int, bool, type(None)})


@dataclass
class TableHash:
    """Hold how many rows a table has, and a hash of them that knows no order.

    The hash is the sum, modulo 2^256, of the SHA-256 of each row: no collation of the database has
    a say in it, and rows need not be sorted.
    """

    rows: int = 0
    total: int = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one more row in: column name → value."""
        self._take(_canonical_fields(row))

    def add_rows(self, table: Table, rows: Iterable[dict[str, Any]]) -> None:
        """Take rows of a table in, as the types of its columns give them."""
        names = _of_two_forms(table)
        for row in rows:
            self._take({**row, **{name: canonical(row[name]) for name in names}})

    def _take(self, fields: dict[str, Any]) -> None:
        digest = hashlib.sha256(_text(fields)).digest()
        self.rows += 1
        self.total = (self.total + int.from_bytes(digest, "big")) % _MODULUS

    @property
    def sha256(self) -> str:
        """Return the hash as 64 hexadecimal digits."""
        return f"{self.total:064x}"


def _of_two_forms(table: Table) -> list[str]:
    """Return the columns whose values the databases may give back in another form.

    Every other type gives the same of both: texts, integers, truth, and times in UTC.
    """
    return [each.name for each in table.columns if isinstance(each.type, JSON | Float)]


def canonical(value: Any) -> Any:
    """Return the value in the one form that both databases give back.

    JSONB gives 1e22 back as an integer and -0.0 as 0.0, and SQLite drops time zones.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    # The exact types first: asking for each base class in turn takes longer than all the rest.
    if kind is dict:
        return _canonical_fields(value)
    if kind is list:
        return [each if type(each) in _PLAIN else canonical(each) for each in value]
    if kind is datetime:
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if kind is float:
        return _canonical_float(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return _canonical_fields(value)
    if isinstance(value, tuple):
        return canonical(list(value))
    return value


def _canonical_fields(fields: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(key): each if type(each) in _PLAIN else canonical(each) for key, each in fields.items()
    }


def _canonical_float(value: float) -> int | float | str:
    if value.is_integer():
        return int(value)
    # JSON has no such number: the encoder would write None in its place.
    return value if math.isfinite(value) else repr(value)


def _text(fields: dict[str, Any]) -> bytes:
    try:
        return _TEXT(fields)
    except UnicodeEncodeError:
        # JSON can name half of a surrogate pair, and SQLite stores it; UTF-8 has none.
        return json.dumps(fields, sort_keys=True, default=str).encode()


def tables() -> list[Table]:
    """Return every table, those that others refer to first."""
    return list(Row.metadata.sorted_tables)


def stream_rows(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """Yield the table's rows in batches, by primary key, without holding them all."""
    statement = select(table).order_by(*table.primary_key.columns)
    # Of the statement and not of the connection, which would then write with a cursor as well.
    result = connection.execute(statement.execution_options(yield_per=_AT_ONCE))
    names = tuple(result.keys())
    for batch in result.partitions():
        yield [dict(zip(names, row, strict=True)) for row in batch]


def hash_table(connection: Connection, table: Table) -> TableHash:
    """Return the count and hash of a table's rows."""
    found = TableHash()
    for batch in stream_rows(connection, table):
        found.add_rows(table, batch)
    return found
