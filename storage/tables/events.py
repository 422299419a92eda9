"""The append-only record of who did what, when."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, false, text
from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, json_type, no_fields

# The condition of partial indexes; a query says it in the same words.
AUDITED_EVENT = "event.audited"


def _audited(name: str, *columns: str) -> Index:
    # Within an index the table needs no name, and SQLite allows none.
    condition = text(AUDITED_EVENT.removeprefix("event."))
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


class Event(Row, table=True):
    """Something that happened; written in the same transaction as what it tells of.

    Triggers of the database refuse every change and every deletion but one: `personal` may become
    NULL. It holds what tells of a person beyond the number of an account: names, addresses, what
    they wrote. `audited` marks what an admin is shown as the audit log.
    """

    __tablename__ = "event"
    __table_args__ = (
        _audited("ix_event_audit", "id"),
        _audited("ix_event_audit_account", "account_id", "id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    project_id: int | None = Field(default=None, foreign_key="project.id", index=True)
    account_id: int | None = Field(default=None, foreign_key="account.id", index=True)
    kind: str = Field(max_length=50, index=True)
    detail: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    personal: dict[str, Any] | None = Field(default=None, sa_type=json_type())
    audited: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
