"""Known answers: what a gold or qualification task should be given, and how near a judgment is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

from sqlalchemy import text
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.judging.rankings import validate_ranks
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.texts import storable
from labeling.work_queue.queues import QUEUED_KINDS
from labeling.work_queue.task_copies import WITHOUT_LIMIT, copy_task
from storage.errors import BadInput, Conflict, NotFound
from storage.tables import (
    Account,
    KnownAnswer,
    Task,
    TaskCompletion,
    TaskKind,
    TaskStatus,
)
from storage.tables.tasks import OWN_TASK, SPECIAL_TASK

LONGEST_EXPLANATION = 2_000
KINDS = (TaskKind.GOLD, TaskKind.QUALIFICATION)
_MOST_ASKED_FOR = 500


@dataclass(frozen=True)
class Score:
    """Hold how many of `pairs` pairs of completions were right, a tie on one side half of one."""

    correct: float
    pairs: int


def score(ranks: Sequence[int], known: Sequence[int]) -> Score:
    """Compare a ranking with the known one, both in task position order.

    correct = Σ over pairs i < j of 1 where both order i and j alike (or both tie them), 1/2 where
    one ties them and the other does not, 0 where they order them the other way round. The share
    correct / pairs is 1 − K⁽¹ᐟ²⁾ / (K(K−1)/2) with the Kendall distance with penalty 1/2 of Fagin
    et al. 2004 (Comparing and Aggregating Rankings with Ties, PODS, §3.1).
    """
    correct, pairs = 0.0, 0
    for i, j in combinations(range(len(known)), 2):
        given, wanted = _order(ranks, i, j), _order(known, i, j)
        correct += 1 - abs(given - wanted) / 2
        pairs += 1
    return Score(correct, pairs)


def make_gold(
    session: Session,
    *,
    task_id: int,
    ranks: Sequence[int],
    by: Account,
    explanation: str = "",
    kind: TaskKind = TaskKind.GOLD,
) -> Task:
    """Make a task with a known answer from a task that there is.

    `ranks` is in task position order. Whoever was lent the original is not lent the gold task; the
    original, where it still waits for judgments, is withdrawn, lest somebody meet it who knows the
    answer from its copy: its judgments stay, and who holds it may still submit. Raises `BadInput`,
    `Conflict` where there is one of it already, `NotAllowed`, `NotFound`.
    """
    original = session.get(Task, task_id, with_for_update={"key_share": True})
    if original is None:
        raise NotFound(f"There is no task {task_id}; load the page again.")
    require(by, Action.CHANGE_LABELING, project_id=original.project_id)
    if kind not in KINDS:
        raise BadInput(f"A known answer is for gold or qualification, not for {kind.value}.")
    same = session.exec(
        select(Task.id).where(
            Task.project_id == original.project_id,
            Task.kind == kind,
            Task.status == TaskStatus.READY,
            Task.repeats_id == task_id,
        )
    ).first()
    if same is not None:
        raise Conflict(f"Task {task_id} is a {kind.value} task already; withdraw that one first.")
    positions = session.exec(
        select(TaskCompletion.position).where(TaskCompletion.task_id == task_id)
    ).all()
    valid = validate_ranks(ranks, len(positions))
    gold = copy_task(session, task=original, kind=kind, overlap=WITHOUT_LIMIT)
    keep_known_answer(session, task=gold, ranks=valid, explanation=explanation, by=by)
    if original.kind in QUEUED_KINDS and original.status == TaskStatus.READY:
        original.status = TaskStatus.WITHDRAWN
        session.add(original)
    return gold


def known_by_copy(session: Session, *, task_ids: Collection[int]) -> set[int]:
    """Return which of the tasks have a gold or qualification copy that annotators may meet.

    Whoever has met the copy would know the task again, and from it that the copy was no ordinary
    one; so such a task must not wait for annotators.
    """
    statement = select(Task.repeats_id).where(text(SPECIAL_TASK), col(Task.kind).in_(KINDS))
    # There are few such copies, and no database takes a hundred thousand numbers in one statement.
    if len(task_ids) <= _MOST_ASKED_FOR:
        statement = statement.where(col(Task.repeats_id).in_(task_ids))
    return {original for original in session.exec(statement) if original is not None}.intersection(
        task_ids
    )


def keep_known_answer(
    session: Session, *, task: Task, ranks: Sequence[int], explanation: str, by: Account | None
) -> None:
    """Store the known answer of a gold or qualification task that has none yet."""
    explanation = storable(explanation).strip()
    if len(explanation) > LONGEST_EXPLANATION:
        raise BadInput(f"The explanation is too long; {LONGEST_EXPLANATION} characters at most.")
    session.add(
        KnownAnswer(
            task_id=key_of(task),
            ranks=list(ranks),
            explanation=explanation,
            by_id=by.id if by else None,
        )
    )
    session.flush()
    record_known_answer(
        session,
        project_id=task.project_id,
        task_id=key_of(task),
        kind=task.kind,
        ranks=ranks,
        by_id=by.id if by else None,
    )


def record_known_answer(
    session: Session,
    *,
    project_id: int,
    task_id: int,
    kind: TaskKind,
    ranks: Sequence[int],
    by_id: int | None,
) -> None:
    """Add the event that a task was given a known answer."""
    record(
        session,
        project_id=project_id,
        account_id=by_id,
        kind="known_answer.added",
        task_id=task_id,
        task_kind=kind.value,
        ranks=list(ranks),
    )


def withdraw_known_answer(session: Session, *, task_id: int, by: Account) -> None:
    """Lend a gold or qualification task to nobody any more; raise `NotAllowed`, `NotFound`.

    Nor its copies in further attempts: an attempt is counted without what nobody asks any more.
    """
    task = session.get(Task, task_id)
    if task is not None:
        require(by, Action.CHANGE_LABELING, project_id=task.project_id)
    if task is None or task.kind not in KINDS or task.for_annotator_id is not None:
        raise NotFound(f"Task {task_id} is no gold or qualification task; load the page again.")
    task.status = TaskStatus.WITHDRAWN
    session.add(task)
    copies = select(Task).where(
        text(OWN_TASK), Task.kind == task.kind, col(Task.repeats_id) == task_id
    )
    for copy in session.exec(copies):
        copy.status = TaskStatus.WITHDRAWN
        session.add(copy)
    record(
        session,
        project_id=task.project_id,
        account_id=by.id,
        kind="known_answer.withdrawn",
        task_id=task_id,
    )


def _order(ranks: Sequence[int], i: int, j: int) -> int:
    return (ranks[i] > ranks[j]) - (ranks[i] < ranks[j])
