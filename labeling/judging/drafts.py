"""Drafts: what an annotator has not sent yet, kept with the assignment until they submit it."""

import json
from functools import cache
from typing import Any

from sqlalchemy import bindparam, func
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from labeling.permissions import Action, require
from labeling.texts import storable
from labeling.work_queue.assignment import lock_annotator
from storage.clock import now
from storage.core import execute_core, table_of
from storage.errors import BadInput, NotFound
from storage.tables import Assignment, AssignmentState, Judgment, Task

LARGEST_DRAFT_BYTES = 200_000
_UNFINISHED = (AssignmentState.LEASED, AssignmentState.RELEASED)


def keep_draft(
    session: Session,
    *,
    assignment_id: int,
    annotator_id: int,
    draft: dict[str, Any],
    judged_before: int = 0,
) -> bool:
    """Store the draft with the annotator's assignment, over an older one; say whether it was kept.

    It is kept whether the lease is live, expired or released. `judged_before` is how many judgments
    of the assignment there were when the draft was begun: a draft that arrives after its own
    submit, skip or flag is stale and not kept. Raises `BadInput` where it is no JSON object of at
    most `LARGEST_DRAFT_BYTES`, `NotAllowed`, `NotFound`. The session must be writing.
    """
    annotator = lock_annotator(session, annotator_id)
    assignment, project_id = _own(session, assignment_id, annotator_id)
    require(annotator, Action.JUDGE, project_id=project_id)
    if judged_before != count_judged(session, assignment_id=assignment_id):
        return False
    if judged_before == 0 and assignment.state not in _UNFINISHED:
        return False
    assignment.draft = _valid_draft(draft)
    assignment.draft_at = now()
    session.add(assignment)
    return True


def drop_draft(session: Session, *, assignment_id: int, annotator_id: int) -> None:
    """Forget the draft of an own assignment; raise `NotFound` where it is somebody else's."""
    assignment, _ = _own(session, assignment_id, annotator_id)
    assignment.draft = None
    session.add(assignment)


def draft_of(session: Session, *, assignment_id: int) -> dict[str, Any] | None:
    """Return the draft that was kept with the assignment, or None."""
    found = execute_core(session, _draft_statement(), assignment_id=assignment_id).scalar()
    return dict(found) if found is not None else None


@cache
def _draft_statement() -> Any:
    assignment = table_of(Assignment)
    return select_columns(assignment.c.draft).where(assignment.c.id == bindparam("assignment_id"))


def unfinished_correction(session: Session, *, project_id: int, annotator_id: int) -> int | None:
    """Return the own judged assignment whose correction was begun last and not sent, or None."""
    return session.exec(
        select(Assignment.id)
        .join(Task, col(Task.id) == col(Assignment.task_id))
        .where(
            Assignment.annotator_id == annotator_id,
            Assignment.state == AssignmentState.SUBMITTED,
            col(Assignment.draft).is_not(None),
            Task.project_id == project_id,
        )
        .order_by(col(Assignment.draft_at).desc())
        .limit(1)
    ).first()


def count_judged(session: Session, *, assignment_id: int) -> int:
    """Count the judgments of an assignment, superseded ones too."""
    found: int = execute_core(
        session, _judged_statement(), assignment_id=assignment_id
    ).scalar_one()
    return found


@cache
def _judged_statement() -> Any:
    judgment = table_of(Judgment)
    return (
        select_columns(func.count())
        .select_from(judgment)
        .where(judgment.c.assignment_id == bindparam("assignment_id"))
    )


def _own(session: Session, assignment_id: int, annotator_id: int) -> tuple[Assignment, int]:
    """Return an own assignment and its task's project."""
    values = {"assignment_id": assignment_id}
    found = session.exec(_own_statement(), params=values).first()
    if found is None or found[0].annotator_id != annotator_id:
        raise NotFound("This task is not lent to you; load the next one.")
    return found[0], found[1]


@cache
def _own_statement() -> Any:
    return (
        select(Assignment, Task.project_id)
        .join(Task, col(Task.id) == col(Assignment.task_id))
        .where(col(Assignment.id) == bindparam("assignment_id"))
        .execution_options(populate_existing=True)
    )


def _valid_draft(draft: object) -> dict[str, Any]:
    if not isinstance(draft, dict):
        raise BadInput("A draft must be a JSON object.")
    try:
        text = json.dumps(draft, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput("A draft must hold nothing but JSON.") from error
    size = len(text.encode("utf-8", "replace"))
    if size > LARGEST_DRAFT_BYTES:
        raise BadInput(
            f"The draft has {size} bytes, but {LARGEST_DRAFT_BYTES} are the most, so it is not "
            "kept; shorten it, or submit."
        )
    kept: dict[str, Any] = _storable(draft)
    return kept


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(name): _storable(part) for name, part in value.items()}
    return [_storable(part) for part in value] if isinstance(value, list) else value
