"""Tasks: a prompt and K completions of one policy, waiting to be ranked."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from sqlalchemy import and_, case, text
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.judging.judging import who_judges
from labeling.keys import key_of
from labeling.texts import storable
from labeling.work_queue.pools import has_its_share, pool_of, staffed_pools
from labeling.work_queue.queues import QUEUED_KINDS
from labeling.work_queue.room import takes_room
from storage.clock import now
from storage.errors import BadInput
from storage.tables import (
    Assignment,
    Completion,
    Policy,
    Project,
    Prompt,
    Task,
    TaskCompletion,
)
from storage.tables.tasks import CLOSED_ASSIGNMENT, QUEUED_TASK

MOST_COMPLETIONS = 9
LOADED_AT_ONCE = 64  # prompts; most callers want few of them

# Why no task can be made: the worker says it in its log and in what it is doing, pages pass it on.
NO_PROMPT_FITS = "No prompt fits: import some with `rankloop import prompts FILE`"
ANSWERS_ALIKE = (
    "The model answers every prompt that is left in one way only, so there is nothing to rank: "
    "import other prompts with `rankloop import prompts FILE`"
)


@dataclass(frozen=True)
class NewCompletion:
    """Hold a sampled answer and how it was sampled, before it is stored.

    `policy_id` is set where another policy than the task's own wrote it.
    """

    text: str
    sampling: dict[str, Any]
    seed: int
    finish_reason: str
    token_count: int
    policy_id: int | None = None


@dataclass(frozen=True)
class Candidate:
    """Hold a prompt to be answered, and how many tasks of the policy it had when it was chosen."""

    prompt: Prompt
    tasks: int


def ready_task_count(session: Session, *, project_id: int, policy_id: int | None = None) -> int:
    """Return how many tasks of the policy (of all without one) may still be lent to someone."""
    found = ready_tasks_by_pool(session, project_id=project_id, policy_id=policy_id)
    return sum(found.values())


def ready_tasks_by_pool(
    session: Session, *, project_id: int, policy_id: int | None = None
) -> dict[str, int]:
    """Return how many tasks of the policy (of all without one) may be lent, by pool.

    "" are everyone's; a pool without a member who may judge is left out. Such a task is ordinary or
    an arena's, has room for one more annotator, and is not closed (submitted, skipped or flagged)
    to each of those who judge here; where nobody has judged yet, room is enough.
    """
    pools = {"", *staffed_pools(session, project_id=project_id)}
    judging = who_judges(session, project_id)
    of_task = col(Assignment.task_id) == Task.id
    taken = select(func.count()).select_from(Assignment).where(of_task, takes_room(now()))
    closed = (
        select(func.count())
        .select_from(Assignment)
        .where(
            of_task,
            text(CLOSED_ASSIGNMENT),
            col(Assignment.annotator_id).in_(judging),
        )
    )
    statement = (
        select(Task.pool, func.count())
        .where(
            text(QUEUED_TASK),
            Task.project_id == project_id,
            col(Task.pool).in_(pools),
            taken.correlate(Task).scalar_subquery() < col(Task.overlap),
        )
        .group_by(col(Task.pool))
    )
    if policy_id is not None:
        statement = statement.where(Task.policy_id == policy_id)
    if judging:
        statement = statement.where(closed.correlate(Task).scalar_subquery() < len(judging))
    found = dict(session.exec(statement).all())
    return {pool: found.get(pool, 0) for pool in pools}


def candidates(
    session: Session,
    *,
    project_id: int,
    policy_id: int,
    seed: int,
    passed_over: Collection[int] = (),
) -> Iterator[Candidate]:
    """Yield the prompts that the policy should answer next, loaded as they are asked for.

    Those with the fewest tasks of this policy come first, then those with the fewest of any, in an
    order drawn from `seed` among equals; prompts of both splits, without the ids `passed_over`.
    Copies of tasks and those with known answers are not counted.
    """
    own = func.coalesce(func.sum(case((col(Task.policy_id) == policy_id, 1), else_=0)), 0)
    found = session.exec(
        select(Prompt.id, own, func.count(col(Task.id)))
        .join(
            Task,
            and_(col(Task.prompt_id) == col(Prompt.id), col(Task.kind).in_(QUEUED_KINDS)),
            isouter=True,
        )
        .where(Prompt.project_id == project_id)
        .group_by(col(Prompt.id))
        .order_by(col(Prompt.id))
    ).all()
    chance = np.random.default_rng(seed).permutation(len(found))
    counts = np.array([row[1:] for row in found], dtype=int).reshape(-1, 2)
    order = np.lexsort((chance, counts[:, 1], counts[:, 0]))
    ordered = [found[index] for index in order if found[index][0] not in passed_over]
    for start in range(0, len(ordered), LOADED_AT_ONCE):
        chosen = {row[0]: int(row[1]) for row in ordered[start : start + LOADED_AT_ONCE]}
        loaded = session.exec(select(Prompt).where(col(Prompt.id).in_(list(chosen))))
        rows = {key_of(row): row for row in loaded}
        yield from (Candidate(rows[prompt_id], tasks) for prompt_id, tasks in chosen.items())


def prompts_to_answer(
    session: Session, *, project_id: int, policy_id: int, count: int, seed: int
) -> list[Prompt]:
    """Return the first `count` prompts of `candidates`."""
    found = candidates(session, project_id=project_id, policy_id=policy_id, seed=seed)
    return [one.prompt for one in islice(found, count)]


def still_wanted(
    session: Session, *, project_id: int, policy_id: int, chosen: Sequence[Candidate]
) -> set[int]:
    """Return the ids of the chosen prompts that have gained no task of the policy in between.

    Call it in the transaction that adds their tasks: until it ends, other callers wait.
    """
    session.exec(
        select(Project.id).where(Project.id == project_id).with_for_update(key_share=True)
    ).one()
    found = session.exec(
        select(Task.prompt_id, func.count())
        .where(
            Task.policy_id == policy_id,
            col(Task.kind).in_(QUEUED_KINDS),
            col(Task.prompt_id).in_([key_of(one.prompt) for one in chosen]),
        )
        .group_by(col(Task.prompt_id))
    ).all()
    tasks = {row[0]: row[1] for row in found}
    return {key_of(one.prompt) for one in chosen if tasks.get(key_of(one.prompt), 0) <= one.tasks}


def add_task(
    session: Session,
    *,
    project: Project,
    prompt_id: int,
    policy_id: int,
    completions: Sequence[NewCompletion],
    priority: int = 0,
) -> Task:
    """Store the completions and the task that ranks them, in the order given (position 0 … K-1).

    Raises `BadInput` unless there are 2 to 9 and prompt and policy are the project's.
    """
    if not 2 <= len(completions) <= MOST_COMPLETIONS:
        raise BadInput(
            f"A task ranks 2 to {MOST_COMPLETIONS} completions, but {len(completions)} were given."
        )
    prompt, policy = session.get(Prompt, prompt_id), session.get(Policy, policy_id)
    if prompt is None or prompt.project_id != project.id:
        raise BadInput(f"Prompt {prompt_id} is not one of project {project.name}.")
    if policy is None or policy.project_id != project.id:
        raise BadInput(f"Policy {policy_id} is not one of project {project.name}.")
    task = Task(
        project_id=project.id,
        prompt_id=prompt_id,
        policy_id=policy_id,
        overlap=project.overlap,
        priority=priority,
        pool=_pool_of_new_task(session, project, prompt_id, policy_id),
    )
    rows = [completion_row(new, prompt_id, policy_id) for new in completions]
    return store_task(session, task=task, completions=rows, policy_version=policy.version)


def store_task(
    session: Session,
    *,
    task: Task,
    completions: Sequence[Completion],
    policy_version: int,
    **detail: Any,
) -> Task:
    """Store a task and its new completions, position 0 … K-1 as given; `detail` joins the Event."""
    session.add_all([task, *completions])
    session.flush()
    session.add_all(
        TaskCompletion(task_id=key_of(task), position=position, completion_id=key_of(row))
        for position, row in enumerate(completions)
    )
    record(
        session,
        project_id=task.project_id,
        account_id=None,
        kind="task.added",
        task_id=task.id,
        policy_version=policy_version,
        **detail,
    )
    session.flush()
    return task


def _pool_of_new_task(session: Session, project: Project, prompt_id: int, policy_id: int) -> str:
    """Return the pool drawn for a task, but "" where its tasks would lie unused."""
    pool = pool_of(project, prompt_id=prompt_id, policy_id=policy_id)
    if not pool:
        return ""
    ready = ready_tasks_by_pool(session, project_id=key_of(project), policy_id=policy_id)
    return "" if pool not in ready or has_its_share(project, pool, ready) else pool


def completion_row(new: NewCompletion, prompt_id: int, policy_id: int) -> Completion:
    """Return a sampled answer as a row, with text that every database can store."""
    return Completion(
        prompt_id=prompt_id,
        policy_id=policy_id if new.policy_id is None else new.policy_id,
        # PostgreSQL refuses a NUL, every database half a surrogate pair, which a server may send.
        text=storable(new.text.replace("\x00", "\ufffd")),
        sampling=new.sampling,
        seed=new.seed,
        finish_reason=new.finish_reason,
        token_count=new.token_count,
    )
