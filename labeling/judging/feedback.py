"""Feedback to annotators: what they were told of a deed, kept so that a retry is told the same."""

from sqlmodel import Session, select

from labeling.events import record
from labeling.keys import key_of
from storage.tables import Assignment, Event, Judgment, Task

_GIVEN = "feedback.given"


def note_feedback(
    session: Session,
    *,
    task: Task,
    assignment: Assignment,
    text: str,
    judgment: Judgment | None = None,
) -> None:
    """Keep what an annotator is told of a judgment, or (None) of a task put aside."""
    if text:
        record(
            session,
            project_id=task.project_id,
            account_id=assignment.annotator_id,
            kind=_GIVEN,
            assignment_id=key_of(assignment),
            judgment_id=key_of(judgment) if judgment else None,
            text=text,
        )


def feedback_given(
    session: Session, *, assignment: Assignment, judgment: Judgment | None = None
) -> str:
    """Return what the annotator was told of this judgment, or of putting this task aside, or ""."""
    deed = (key_of(assignment), key_of(judgment) if judgment else None)
    given = session.exec(
        select(Event.detail).where(
            Event.account_id == assignment.annotator_id, Event.kind == _GIVEN
        )
    )
    said = (str(one["text"]) for one in given if (one["assignment_id"], one["judgment_id"]) == deed)
    return next(said, "")
