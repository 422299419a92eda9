"""Tasks, the assignments that lend them, and the judgments that answer them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, enum_type, json_type, seed_type


class TaskKind(StrEnum):
    """Why a task exists."""

    ORDINARY = "ordinary"
    GOLD = "gold"
    QUALIFICATION = "qualification"


class TaskStatus(StrEnum):
    """Whether a task may still be lent."""

    READY = "ready"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class AssignmentState(StrEnum):
    """What became of a task lent to an annotator."""

    LEASED = "leased"
    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    RELEASED = "released"


class Task(Row, table=True):
    """A prompt and K completions of one policy, wanted by `overlap` annotators."""

    __tablename__ = "task"
    __table_args__ = (Index("ix_task_next", "project_id", "status", "priority", "policy_id", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    prompt_id: int = Field(foreign_key="prompt.id", index=True)
    policy_id: int = Field(foreign_key="policy.id")
    overlap: int = 1
    priority: int = 0
    kind: TaskKind = Field(default=TaskKind.ORDINARY, sa_type=enum_type(TaskKind))
    status: TaskStatus = Field(default=TaskStatus.READY, sa_type=enum_type(TaskStatus))
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class TaskCompletion(Row, table=True):
    """A completion in a task; `position` (0 … K-1) is the order that `Judgment.ranks` follows."""

    __tablename__ = "task_completion"
    __table_args__ = (UniqueConstraint("task_id", "completion_id"),)

    task_id: int = Field(foreign_key="task.id", primary_key=True)
    position: int = Field(primary_key=True)
    completion_id: int = Field(foreign_key="completion.id", index=True)


class Assignment(Row, table=True):
    """A task lent to one annotator until `expires_at`; never twice to the same annotator."""

    __tablename__ = "assignment"
    __table_args__ = (
        UniqueConstraint("task_id", "annotator_id"),
        Index("ix_assignment_annotator_state", "annotator_id", "state"),
    )

    id: int | None = Field(default=None, primary_key=True)
    task_id: int = Field(foreign_key="task.id")
    annotator_id: int = Field(foreign_key="account.id")
    state: AssignmentState = Field(
        default=AssignmentState.LEASED, sa_type=enum_type(AssignmentState)
    )
    leased_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    order_seed: int = Field(sa_type=seed_type())
    display_order: list[int] = Field(sa_type=json_type())
    skip_reason: str | None = None
    draft: dict[str, Any] | None = Field(default=None, sa_type=json_type())


class Judgment(Row, table=True):
    """What one annotator said of one task, once; a correction supersedes, nothing is overwritten.

    `ranks[i]` is the rank (1 is best, equal is a tie) of the completion at task position `i`;
    `display_order[j]` is the task position that was shown in place `j`.
    """

    __tablename__ = "judgment"
    __table_args__ = (Index("ix_judgment_project_created", "project_id", "created_at"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    task_id: int = Field(foreign_key="task.id", index=True)
    assignment_id: int = Field(foreign_key="assignment.id", index=True)
    annotator_id: int = Field(foreign_key="account.id", index=True)
    ranks: list[int] = Field(sa_type=json_type())
    likert: dict[str, list[int]] = Field(default_factory=dict, sa_type=json_type())
    flags: list[str] = Field(default_factory=list, sa_type=json_type())
    rationale: str = ""
    milliseconds: int = 0
    display_order: list[int] = Field(sa_type=json_type())
    nonce: str = Field(max_length=64, unique=True)
    supersedes_id: int | None = Field(default=None, foreign_key="judgment.id", unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Demonstration(Row, table=True):
    """An answer that a person wrote, or rewrote from a completion."""

    __tablename__ = "demonstration"

    id: int | None = Field(default=None, primary_key=True)
    prompt_id: int = Field(foreign_key="prompt.id", index=True)
    annotator_id: int = Field(foreign_key="account.id")
    text: str
    rewritten_from_id: int | None = Field(default=None, foreign_key="completion.id")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
