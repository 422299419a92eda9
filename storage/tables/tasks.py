"""Tasks, the assignments that lend them, and the judgments that answer them."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint, desc, text
from sqlmodel import Field

from storage.clock import now
from storage.tables.base import (
    Row,
    UtcDateTime,
    enum_type,
    json_type,
    no_fields,
    no_items,
    seed_type,
)


class TaskKind(StrEnum):
    """Why a task exists."""

    ORDINARY = "ordinary"
    GOLD = "gold"
    QUALIFICATION = "qualification"
    REPEAT = "repeat"
    ARENA = "arena"


class TaskStatus(StrEnum):
    """Whether a task may still be lent; `review` waits for a lead."""

    READY = "ready"
    DONE = "done"
    REVIEW = "review"
    WITHDRAWN = "withdrawn"


class AssignmentState(StrEnum):
    """What became of a task lent to an annotator."""

    LEASED = "leased"
    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    FLAGGED = "flagged"
    RELEASED = "released"


# Few of a project's tasks, and asked for before each of the many: they have an index of their own.
SPECIAL = text("kind IN ('gold', 'qualification', 'repeat')")


# The conditions of partial indexes. A query says them in the same words: SQLite takes such an index
# only where it can see, before any parameter is bound, that the condition holds.
QUEUED_TASK = (
    "task.status = 'ready' AND task.kind IN ('ordinary', 'arena') AND task.for_annotator_id IS NULL"
)
SPECIAL_TASK = (
    "task.status = 'ready' AND task.kind IN ('gold', 'qualification', 'repeat') "
    "AND task.for_annotator_id IS NULL"
)
OWN_TASK = "task.status = 'ready' AND task.for_annotator_id IS NOT NULL"
IMPORTED_TASK = "task.import_id IS NOT NULL"
CLOSED_ASSIGNMENT = "assignment.state IN ('submitted', 'skipped', 'flagged')"
LEASED_ASSIGNMENT = "assignment.state = 'leased'"
# Said so that SQLite does not take the unique key of `supersedes_id`, where nearly all are NULL.
FIRST_JUDGMENT = "coalesce(judgment.supersedes_id, 0) = 0"


def _partial(name: str, *columns: Any, where: str) -> Index:
    # Within an index the table needs no name, and SQLite allows none.
    condition = text(re.sub(r"\b(task|assignment|judgment)\.", "", where))
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


class Task(Row, table=True):
    """A prompt and K completions, wanted by `overlap` annotators.

    `policy_id` is the newest policy among its completions; only an arena task has two.
    `selection` is what chose its completions: `random` marks the slice that statistics may take as
    unbiased. `judged` counts the people who have submitted. A pool name keeps the task to the
    annotators of that pool; a repeat is for one annotator alone.
    """

    __tablename__ = "task"
    __table_args__ = (
        _partial(
            "ix_task_by_priority",
            *("project_id", "pool", desc("priority"), desc("policy_id"), "id"),
            where=QUEUED_TASK,
        ),
        _partial(
            "ix_task_by_breadth",
            *("project_id", "pool", desc("priority"), "judged", desc("policy_id"), "id"),
            where=QUEUED_TASK,
        ),
        _partial(
            "ix_task_by_depth",
            *("project_id", "pool", desc("priority"), desc("judged"), desc("policy_id"), "id"),
            where=QUEUED_TASK,
        ),
        _partial("ix_task_for_annotator", "for_annotator_id", where=OWN_TASK),
        _partial("ix_task_import", "import_id", where=IMPORTED_TASK),
        Index("ix_task_project_status", "project_id", "status"),
        Index(
            "ix_task_special",
            *("project_id", "status", "kind", "for_annotator_id"),
            sqlite_where=SPECIAL,
            postgresql_where=SPECIAL,
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    prompt_id: int = Field(foreign_key="prompt.id", index=True)
    policy_id: int = Field(foreign_key="policy.id")
    overlap: int = 1
    priority: int = 0
    kind: TaskKind = Field(default=TaskKind.ORDINARY, sa_type=enum_type(TaskKind))
    status: TaskStatus = Field(default=TaskStatus.READY, sa_type=enum_type(TaskStatus))
    judged: int = 0
    selection: str = Field(default="random", max_length=24)
    pool: str = Field(default="", max_length=100)
    repeats_id: int | None = Field(default=None, foreign_key="task.id")
    for_annotator_id: int | None = Field(default=None, foreign_key="account.id")
    import_id: int | None = Field(default=None, foreign_key="import.id")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class KnownAnswer(Row, table=True):
    """The ranks (in task position order) that a gold or qualification task should be given."""

    __tablename__ = "known_answer"

    task_id: int = Field(foreign_key="task.id", primary_key=True)
    ranks: list[int] = Field(sa_type=json_type())
    explanation: str = ""
    by_id: int | None = Field(default=None, foreign_key="account.id")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class TaskCompletion(Row, table=True):
    """A completion in a task; `position` (0 … K-1) is the order that `Judgment.ranks` follows."""

    __tablename__ = "task_completion"
    __table_args__ = (UniqueConstraint("task_id", "completion_id"),)

    task_id: int = Field(foreign_key="task.id", primary_key=True)
    position: int = Field(primary_key=True)
    completion_id: int = Field(foreign_key="completion.id", index=True)


class Assignment(Row, table=True):
    """A task lent to one annotator until `expires_at`; never twice to the same annotator.

    `counted` is false where it takes none of the task's overlap: a model annotator's. `flags` and
    `skip_reason` are what the annotator said when they put the task aside.
    """

    __tablename__ = "assignment"
    __table_args__ = (
        UniqueConstraint("task_id", "annotator_id"),
        Index("ix_assignment_annotator_state", "annotator_id", "state", "id"),
        _partial("ix_assignment_closed", "annotator_id", "task_id", where=CLOSED_ASSIGNMENT),
        _partial("ix_assignment_leased", "task_id", "expires_at", where=LEASED_ASSIGNMENT),
        _partial("ix_assignment_draft", "annotator_id", where="assignment.draft IS NOT NULL"),
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
    flags: list[str] | None = Field(default=None, sa_type=json_type())
    counted: bool = True
    draft: dict[str, Any] | None = Field(default=None, sa_type=json_type())
    draft_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Judgment(Row, table=True):
    """What one annotator said of one task, once; a correction supersedes, nothing is overwritten.

    `ranks[i]` is the rank (1 is best, equal is a tie) of the completion at task position `i`;
    `display_order[j]` is the task position that was shown in place `j`. `likert` (1–7) and `checks`
    (yes/no) hold one answer for each task position under the name of the criterion. `strength` is
    1 (negligibly better) … 4 (significantly better), for K = 2 alone. `marks` are the app's own
    (`fast`), `flags` the annotator's. `confidence` is a model annotator's.
    """

    __tablename__ = "judgment"
    __table_args__ = (
        Index("ix_judgment_project_created", "project_id", "created_at"),
        Index("ix_judgment_annotator", "annotator_id", "project_id", "id"),
        _partial(
            "ix_judgment_first",
            "annotator_id",
            "project_id",
            "created_at",
            "supersedes_id",
            where=FIRST_JUDGMENT,
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    task_id: int = Field(foreign_key="task.id", index=True)
    assignment_id: int = Field(foreign_key="assignment.id", index=True)
    annotator_id: int = Field(foreign_key="account.id")
    ranks: list[int] = Field(sa_type=json_type())
    strength: int | None = None
    likert: dict[str, list[int | None]] = Field(default_factory=no_fields, sa_type=json_type())
    checks: dict[str, list[bool | None]] = Field(default_factory=no_fields, sa_type=json_type())
    flags: list[str] = Field(default_factory=no_items, sa_type=json_type())
    rationale: str = ""
    milliseconds: int = 0
    marks: list[str] = Field(default_factory=no_items, sa_type=json_type())
    confidence: float | None = None
    guideline_version: int | None = None
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
    import_id: int | None = Field(default=None, foreign_key="import.id")
    nonce: str | None = Field(default=None, max_length=64, unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
