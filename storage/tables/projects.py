"""Projects: what is being ranked, how, and by how many."""

from datetime import datetime
from typing import Any

from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, json_type, no_fields


class Project(Row, table=True):
    """One loop: its K, its overlap, and its settings of labeling and of training."""

    __tablename__ = "project"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=100, unique=True)
    completions_per_task: int = Field(default=4)
    overlap: int = Field(default=1)
    system_prompt: str = ""
    labeling: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    training: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
