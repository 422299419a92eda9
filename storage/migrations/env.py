"""What Alembic runs for every command: it works on the connection that `storage.migrate` opened."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import JSON, Connection, DateTime
from sqlmodel.sql.sqltypes import AutoString

from storage.migrations.comparison import comparable_on
from storage.tables import Row
from storage.tables.base import UtcDateTime


def _render(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write column types so that a migration does not depend on code that may change later."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    if kind == "type" and isinstance(item, JSON):
        autogen.imports.add("from sqlalchemy.dialects.postgresql import JSONB")
        return 'sa.JSON().with_variant(JSONB(), "postgresql")'
    return False


def _same_type(
    _context: Any, _column: Any, _metadata_column: Any, found: Any, wanted: Any
) -> bool | None:
    """Compare the type that a decorator stores, not the decorator; None lets Alembic compare."""
    if isinstance(wanted, UtcDateTime):
        return not isinstance(found, DateTime)
    return None


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Row.metadata,
        # SQLite alters a table by copying it, inside the transaction that the caller opened.
        render_as_batch=True,
        transactional_ddl=True,
        render_item=_render,
        compare_type=_same_type,
        include_object=comparable_on(connection.dialect.name),
    )
    context.run_migrations()


_run(context.config.attributes["connection"])
