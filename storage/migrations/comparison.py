"""Which parts of the tables Alembic can compare with a database."""

from typing import Any

from sqlalchemy import UnaryExpression

from storage.tables import Row

_DESCENDING = {
    index.name
    for table in Row.metadata.tables.values()
    for index in table.indexes
    if any(isinstance(part, UnaryExpression) for part in index.expressions)
}


def comparable_on(dialect: str) -> Any:
    """Return Alembic's `include_object` for a database.

    SQLite does not tell of an index's descending columns; PostgreSQL does.
    """

    def include(_item: Any, name: str | None, kind: str, _reflected: bool, _against: Any) -> bool:
        return not (kind == "index" and dialect == "sqlite" and name in _DESCENDING)

    return include
