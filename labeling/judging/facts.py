"""What a submit must know besides the locked rows, in one question."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, exists, func, select, true
from sqlmodel import Session

from labeling.keys import key_of
from labeling.labeling_settings import LabelingSettings, stored_settings
from labeling.work_queue.room import PUT_ASIDE, takes_room
from storage.clock import now
from storage.core import execute_core, table_of
from storage.tables import (
    Assignment,
    AssignmentState,
    GuidelineVersion,
    Judgment,
    Project,
    Task,
    Withdrawal,
)


@dataclass(frozen=True)
class Facts:
    """Hold what was stored under the nonce, the project's settings and guidelines, and the others.

    Of those who were lent the task, without this one: `taken` take room, `submitted` have judged
    it, and `put_aside` have skipped or flagged it; the first two count towards its overlap.
    `room_given`: judgments of the project are withdrawn, and their room was given to others.
    """

    judgment_id: int | None
    settings: LabelingSettings
    guideline_version: int | None
    taken: int
    submitted: int
    put_aside: int
    room_given: bool


def facts_of(session: Session, *, task: Task, assignment: Assignment, nonce: str) -> Facts:
    """Return the facts of a submit of the locked task."""
    row = execute_core(
        session,
        _statement(),
        project_id=task.project_id,
        task_id=key_of(task),
        assignment_id=key_of(assignment),
        nonce=nonce,
        at=now(),
    ).one()
    judgment_id, labeling, version, taken, submitted, put_aside, room_given = list(row)
    settings = stored_settings(labeling)
    return Facts(judgment_id, settings, version, taken, submitted, put_aside, bool(room_given))


@cache
def _statement() -> Any:
    judgment, project, assignment = table_of(Judgment), table_of(Project), table_of(Assignment)
    guidelines, withdrawal = table_of(GuidelineVersion), table_of(Withdrawal)
    before = select(judgment.c.id).where(judgment.c.nonce == bindparam("nonce"))
    version = select(func.max(guidelines.c.version)).where(
        guidelines.c.project_id == bindparam("project_id")
    )
    submitted = (assignment.c.state == AssignmentState.SUBMITTED) & assignment.c.counted
    put_aside = (assignment.c.state == PUT_ASIDE[0]) | (assignment.c.state == PUT_ASIDE[1])
    others = (
        select(
            func.count().filter(takes_room(bindparam("at"))).label("taken"),
            func.count().filter(submitted).label("submitted"),
            func.count().filter(put_aside).label("put_aside"),
        )
        .where(
            assignment.c.task_id == bindparam("task_id"),
            assignment.c.id != bindparam("assignment_id"),
        )
        .subquery()
    )
    room_given = exists().where(
        withdrawal.c.project_id == bindparam("project_id"),
        withdrawal.c.reverted_at.is_(None),
        withdrawal.c.requeued,
    )
    columns = (
        before.scalar_subquery(),
        project.c.labeling,
        version.scalar_subquery(),
        others.c.taken,
        others.c.submitted,
        others.c.put_aside,
        room_given,
    )
    # One row each, so that nothing is multiplied.
    both = project.join(others, true())
    return select(*columns).select_from(both).where(project.c.id == bindparam("project_id"))
