"""Tasks: a prompt and K completions of one policy, waiting to be ranked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.keys import key_of
from storage.errors import BadInput
from storage.tables import Completion, Policy, Project, Prompt, Task, TaskCompletion, TaskStatus

MOST_COMPLETIONS = 9


@dataclass(frozen=True)
class NewCompletion:
    """Hold a sampled answer and how it was sampled, before it is stored."""

    text: str
    sampling: dict[str, Any]
    seed: int
    finish_reason: str
    token_count: int


def ready_task_count(session: Session, *, project_id: int, policy_id: int) -> int:
    """Return how many tasks of the policy may still be lent."""
    return session.exec(
        select(func.count())
        .select_from(Task)
        .where(
            Task.project_id == project_id,
            Task.policy_id == policy_id,
            Task.status == TaskStatus.READY,
        )
    ).one()


def prompts_to_answer(
    session: Session, *, project_id: int, policy_id: int, count: int, seed: int
) -> list[Prompt]:
    """Choose up to `count` prompts that the policy should answer next.

    Those with the fewest tasks come first, in an order drawn from `seed` among equals; prompts of
    both splits, none that has a task of this policy already.
    """
    answered = select(Task.prompt_id).where(
        Task.project_id == project_id, Task.policy_id == policy_id
    )
    tasks = func.count(col(Task.id))
    statement = (
        select(Prompt.id, tasks)
        .join(Task, col(Task.prompt_id) == col(Prompt.id), isouter=True)
        .where(Prompt.project_id == project_id, col(Prompt.id).not_in(answered))
        .group_by(col(Prompt.id))
        .order_by(col(Prompt.id))
    )
    found = session.exec(statement).all()
    chance = np.random.default_rng(seed).permutation(len(found))
    order = np.lexsort((chance, np.array([row[1] for row in found], dtype=int)))[:count]
    chosen = [found[index][0] for index in order]
    rows = {row.id: row for row in session.exec(select(Prompt).where(col(Prompt.id).in_(chosen)))}
    return [rows[prompt_id] for prompt_id in chosen]


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
    )
    rows = [_completion_row(new, prompt_id, policy_id) for new in completions]
    session.add_all([task, *rows])
    session.flush()
    session.add_all(
        TaskCompletion(task_id=key_of(task), position=position, completion_id=key_of(row))
        for position, row in enumerate(rows)
    )
    record(
        session,
        project_id=project.id,
        account_id=None,
        kind="task.added",
        task_id=task.id,
        policy_version=policy.version,
    )
    session.flush()
    return task


def _completion_row(new: NewCompletion, prompt_id: int, policy_id: int) -> Completion:
    return Completion(
        prompt_id=prompt_id,
        policy_id=policy_id,
        # A sampled NUL would be refused by PostgreSQL.
        text=new.text.replace("\x00", "\ufffd"),
        sampling=new.sampling,
        seed=new.seed,
        finish_reason=new.finish_reason,
        token_count=new.token_count,
    )
