"""Projects: what is being ranked, how, and by how many."""

from datetime import datetime
from typing import Any

from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, json_type


class Project(Row, table=True):
    """One loop: its guidelines, its K, its overlap and its training settings."""

    __tablename__ = "project"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=100, unique=True)
    guidelines: str = ""
    criteria: list[str] = Field(default_factory=list, sa_type=json_type())
    completions_per_task: int = Field(default=4)
    overlap: int = Field(default=1)
    system_prompt: str = ""
    training: dict[str, Any] = Field(default_factory=dict, sa_type=json_type())
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
