"""Judgments taken out of figures and training: of an annotator, an import, or a span of time."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime


class Withdrawal(Row, table=True):
    """Take out every judgment that fits all of what is set; the judgments stay as they are.

    `since` is included, `until` is not. It holds until `reverted_at`. Where it was `requeued`, the
    tasks of those judgments were given their room back.
    """

    __tablename__ = "withdrawal"
    __table_args__ = (Index("ix_withdrawal_covers", "project_id", "annotator_id", "import_id"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    annotator_id: int | None = Field(default=None, foreign_key="account.id")
    import_id: int | None = Field(default=None, foreign_key="import.id")
    since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    reason: str
    requeued: bool = False
    by_id: int | None = Field(default=None, foreign_key="account.id")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    reverted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    reverted_by_id: int | None = Field(default=None, foreign_key="account.id")
    reverted_reason: str = ""
