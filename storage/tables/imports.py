"""Files that people brought: what came in together can be found, and taken out, together."""

from datetime import datetime
from typing import Any

from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, json_type, no_fields


class Import(Row, table=True):
    """One file brought into a project, all of it or none; `counts` says what it added."""

    __tablename__ = "import"

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    file_name: str = Field(max_length=300)
    file_sha256: str = Field(max_length=64)
    format: str = Field(max_length=40)
    counts: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    by_id: int | None = Field(default=None, foreign_key="account.id")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
