"""Guidelines in versions, who has read which, and who has passed the qualification."""

from datetime import datetime

from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, json_type, no_items


class GuidelineVersion(Row, table=True):
    """A text of a project's guidelines (Markdown); the highest version is in force."""

    __tablename__ = "guideline_version"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    version: int = Field(primary_key=True)
    text: str
    note: str = ""
    by_id: int | None = Field(default=None, foreign_key="account.id")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class GuidelineReading(Row, table=True):
    """An annotator said that they have read a version."""

    __tablename__ = "guideline_reading"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    account_id: int = Field(foreign_key="account.id", primary_key=True)
    version: int = Field(primary_key=True)
    read_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Qualification(Row, table=True):
    """How an annotator did on a project's qualification set; `passed` None: not finished.

    The attempt with the highest number holds. `task_ids` are its tasks; none where a lead decided
    (`by_id`) that the annotator may work.
    """

    __tablename__ = "qualification"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    account_id: int = Field(foreign_key="account.id", primary_key=True)
    attempt: int = Field(primary_key=True, default=1)
    task_ids: list[int] = Field(default_factory=no_items, sa_type=json_type())
    pairs: int = 0
    correct: float = 0.0
    passed: bool | None = None
    by_id: int | None = Field(default=None, foreign_key="account.id")
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
