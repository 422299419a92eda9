"""What leads decide about judged tasks; append-only, like the judgments themselves."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, enum_type, json_type


class ReviewDecision(StrEnum):
    """What a lead did with a task, or with one judgment of it."""

    DECIDED = "decided"
    KEPT = "kept"
    RETURNED = "returned"
    DISCARDED = "discarded"
    RESTORED = "restored"
    WITHDRAWN = "withdrawn"
    REQUEUED = "requeued"


class Review(Row, table=True):
    """A lead's decision; `ranks` (in task position order) is the label of a decided task.

    `judgment_id` is set where it is about one judgment: returned to its annotator, discarded from
    snapshots and statistics, or restored. Of discarded and restored the newest holds, and of
    decided and requeued (more people are wanted first).
    """

    __tablename__ = "review"

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    task_id: int = Field(foreign_key="task.id", index=True)
    judgment_id: int | None = Field(default=None, foreign_key="judgment.id", index=True)
    decision: ReviewDecision = Field(sa_type=enum_type(ReviewDecision))
    ranks: list[int] | None = Field(default=None, sa_type=json_type())
    reason: str = ""
    comment: str = ""
    by_id: int = Field(foreign_key="account.id")
    nonce: str = Field(max_length=64, unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
