"""Copies of tasks: the same prompt and completions, to be judged again for another reason."""

from collections.abc import Sequence
from hashlib import sha256

from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.work_queue.assignment import display_order
from storage.clock import now
from storage.tables import Assignment, AssignmentState, Task, TaskCompletion, TaskKind

#: an overlap that no number of annotators fills: each may be lent the task, once
WITHOUT_LIMIT = 2**31 - 1


def copy_task(
    session: Session,
    *,
    task: Task,
    kind: TaskKind,
    overlap: int = 1,
    for_annotator_id: int | None = None,
) -> Task:
    """Store a READY task of another kind with the completions of `task` at the same positions.

    Ranks of the two can so be compared position by position; `repeats_id` names the original.
    """
    copy = Task(
        project_id=task.project_id,
        prompt_id=task.prompt_id,
        policy_id=task.policy_id,
        overlap=overlap,
        priority=task.priority,
        kind=kind,
        selection=task.selection,
        repeats_id=task.id,
        for_annotator_id=for_annotator_id,
    )
    session.add(copy)
    session.flush()
    held = session.exec(
        select(TaskCompletion)
        .where(TaskCompletion.task_id == task.id)
        .order_by(col(TaskCompletion.position))
    ).all()
    session.add_all(
        TaskCompletion(task_id=key_of(copy), position=one.position, completion_id=one.completion_id)
        for one in held
    )
    record(
        session,
        project_id=task.project_id,
        account_id=None,
        kind="task.added",
        task_id=copy.id,
        task_kind=kind.value,
        repeats=task.id,
    )
    session.flush()
    return copy


def keep_other_order(
    session: Session, *, task: Task, annotator_id: int, shown: Sequence[int]
) -> None:
    """See to it that the annotator will be shown the task in another order than `shown`.

    The order is stored with an assignment that is not lent yet; lending it keeps the order.
    """
    seed, turn = _seed(task, annotator_id, 0), 0
    while display_order(seed, len(shown)) == list(shown):
        turn += 1
        seed = _seed(task, annotator_id, turn)
    session.add(
        Assignment(
            task_id=key_of(task),
            annotator_id=annotator_id,
            state=AssignmentState.RELEASED,
            expires_at=now(),
            order_seed=seed,
            display_order=display_order(seed, len(shown)),
        )
    )
    session.flush()


def _seed(task: Task, annotator_id: int, turn: int) -> int:
    digest = sha256(f"{task.id}:{annotator_id}:{turn}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
