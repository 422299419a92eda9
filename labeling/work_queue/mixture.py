"""What is mixed into ordinary work: qualification first, then gold tasks and repeats by rate.

The draws are reproducible from the database, and cannot be foretold from the page: they are keyed
by the project's time of creation, to the microsecond, which no page and no export shows.
"""

from hashlib import sha256

from sqlalchemy import text
from sqlmodel import Session, col, exists, select

from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.quality_control.known_answers import score
from labeling.quality_control.qualification import after_qualification_task, qualification_task
from labeling.quality_control.repeats import repeat_task
from labeling.work_queue.due import Due
from storage.core import load
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    Judgment,
    KnownAnswer,
    Project,
    Task,
    TaskKind,
    TaskStatus,
)
from storage.tables.tasks import CLOSED_ASSIGNMENT, SPECIAL_TASK


def special_task(
    session: Session, *, project: Project, annotator: Account, due: Due
) -> Task | None:
    """Return the qualification, gold or repeated task that the annotator is due, locked.

    None where ordinary work is due. Until they have put a task behind them, it is the same task
    each time. Raises `NotQualified` where they may do no work. The session must be writing, with
    the annotator locked.
    """
    if annotator.kind is AccountKind.MODEL:
        return None
    if due.tested:
        test = qualification_task(session, project=project, annotator=annotator)
        if test is not None:
            return test
    gold = labeling_settings(project).gold
    drawn = chance(project, key_of(annotator), due.turn, "kind")
    which = chance(project, key_of(annotator), due.turn, "which")
    if drawn < gold.rate:
        return _gold_task(session, project, annotator, which)
    if drawn < gold.rate + gold.repeat_rate:
        return repeat_task(
            session, project=project, annotator=annotator, after=gold.repeat_after, chance=which
        )
    return None


def after_judgment(session: Session, *, judgment: Judgment, task: Task, annotator: Account) -> str:
    """Note what a stored judgment says of its annotator; return what to tell them, or "".

    They are told of a gold task where the project's settings say so, and of a qualification when
    its last task is done. A correction of a gold task earns no feedback: the first answer counts.
    """
    if task.kind not in (TaskKind.QUALIFICATION, TaskKind.GOLD):
        return ""
    project = load(session, Project, task.project_id)
    if task.kind is TaskKind.QUALIFICATION:
        return after_qualification_task(session, project=project, annotator=annotator, task=task)
    if judgment.supersedes_id is None:
        known = session.get(KnownAnswer, key_of(task))
        if known is not None and labeling_settings(project).gold.feedback:
            return _feedback(judgment, known)
    return ""


def after_putting_aside(session: Session, *, task: Task, annotator: Account) -> str:
    """Note that a task was skipped or flagged; return what to tell the annotator, or ""."""
    if task.kind is not TaskKind.QUALIFICATION:
        return ""
    project = load(session, Project, task.project_id)
    return after_qualification_task(session, project=project, annotator=annotator, task=task)


def chance(project: Project, annotator_id: int, turn: int, purpose: str) -> float:
    """Return a number in [0, 1) drawn from project, annotator and turn."""
    secret = f"{project.id}:{project.created_at.isoformat()}"
    digest = sha256(f"{secret}:{annotator_id}:{turn}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _gold_task(session: Session, project: Project, annotator: Account, which: float) -> Task | None:
    own = select(Assignment.id).where(col(Assignment.annotator_id) == annotator.id)
    met = own.where(text(CLOSED_ASSIGNMENT), col(Assignment.task_id) == Task.id)
    met_original = own.where(col(Assignment.task_id) == Task.repeats_id)
    found = session.exec(
        select(Task.id)
        .where(
            text(SPECIAL_TASK),
            Task.project_id == project.id,
            Task.kind == TaskKind.GOLD,
            ~exists(met),
            ~exists(met_original),
        )
        .order_by(col(Task.id))
    ).all()
    if not found:
        return None
    return session.exec(
        select(Task)
        .where(Task.id == found[int(which * len(found))], Task.status == TaskStatus.READY)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).first()


def _feedback(judgment: Judgment, known: KnownAnswer) -> str:
    got = score(judgment.ranks, known.ranks)
    start = f"The answer to that task was known: you agreed with it on {got.correct:g} of "
    said = f"{start}{got.pairs} pairs." if got.pairs > 1 else _of_one_pair(got.correct)
    return f"{said} {known.explanation}".strip()


def _of_one_pair(correct: float) -> str:
    if correct == 1:
        return "The answer to that task was known, and you agreed with it."
    return "The answer to that task was known, and yours was another."
