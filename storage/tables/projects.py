"""Projects: what is being ranked, how, and by how many."""

from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, json_type, no_fields


def new_key() -> str:
    """Return 256 random bits as hexadecimal digits."""
    return token_hex(32)


class Project(Row, table=True):
    """One loop: its K, its overlap, and its settings of labeling and of training.

    `pseudonym_key` keys what annotators are called in exports; it is in none of them.
    """

    __tablename__ = "project"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=100, unique=True)
    completions_per_task: int = Field(default=4)
    overlap: int = Field(default=1)
    system_prompt: str = ""
    labeling: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    training: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    pseudonym_key: str = Field(default_factory=new_key, max_length=100, repr=False)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
