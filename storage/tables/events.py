"""The append-only record of who did what, when."""

from datetime import datetime
from typing import Any

from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, json_type, no_fields


class Event(Row, table=True):
    """Something that happened; written in the same transaction as what it tells of."""

    __tablename__ = "event"

    id: int | None = Field(default=None, primary_key=True)
    project_id: int | None = Field(default=None, foreign_key="project.id", index=True)
    account_id: int | None = Field(default=None, foreign_key="account.id", index=True)
    kind: str = Field(max_length=50, index=True)
    detail: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
