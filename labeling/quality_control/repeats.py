"""Repeats: a task of one's own a second time, to see whether one judges it alike."""

from sqlalchemy import text
from sqlmodel import Session, col, select

from labeling.keys import key_of
from labeling.work_queue.claim import claim
from labeling.work_queue.task_copies import copy_task, keep_other_order
from storage.tables import Account, Judgment, Project, Task, TaskKind
from storage.tables.tasks import FIRST_JUDGMENT

#: earlier tasks that one is drawn from; a whole history of many thousands need not be read
CHOSEN_FROM = 100


def repeat_task(
    session: Session, *, project: Project, annotator: Account, after: int, chance: float
) -> Task | None:
    """Return a repeat for the annotator, locked: one that waits for them, or else a new one.

    The repeated task is an ordinary one with at least `after` judgments of theirs since, never
    repeated before; `chance` (0 to 1) draws it from the newest of these. None without any. The
    session must be writing.
    """
    waiting = claim(
        session,
        project_id=key_of(project),
        annotator_id=key_of(annotator),
        kinds=(TaskKind.REPEAT,),
    )
    if waiting is not None:
        return waiting
    found = _repeatable(session, project, annotator, after)
    if not found:
        return None
    judgment = found[int(chance * len(found))]
    original = session.get_one(Task, judgment.task_id)
    repeat = copy_task(
        session, task=original, kind=TaskKind.REPEAT, for_annotator_id=key_of(annotator)
    )
    keep_other_order(
        session, task=repeat, annotator_id=key_of(annotator), shown=judgment.display_order
    )
    return repeat


def _repeatable(
    session: Session, project: Project, annotator: Account, after: int
) -> list[Judgment]:
    earlier = session.exec(
        select(Judgment)
        .where(
            text(FIRST_JUDGMENT),
            Judgment.annotator_id == annotator.id,
            Judgment.project_id == project.id,
        )
        .order_by(col(Judgment.id).desc())
        .offset(after)
        .limit(CHOSEN_FROM)
    ).all()
    ids = [one.task_id for one in earlier]
    repeated = session.exec(
        select(Task.repeats_id).where(
            Task.for_annotator_id == annotator.id,
            Task.kind == TaskKind.REPEAT,
            col(Task.repeats_id).in_(ids),
        )
    ).all()
    ordinary = session.exec(
        select(Task.id).where(col(Task.id).in_(ids), Task.kind == TaskKind.ORDINARY)
    ).all()
    free = set(ordinary) - set(repeated)
    return [one for one in earlier if one.task_id in free]
