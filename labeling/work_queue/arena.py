"""The human arena: blind comparisons of a policy with the one that was live before it.

An arena task is an ordinary comparison of two completions to everybody who judges it, and trains
like one. Its overlap is 1, so that every judgment is of completions of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from labeling.datasets.eligibility import usable
from labeling.keys import key_of
from labeling.statistics.wilson import wilson
from labeling.work_queue.tasks import NewCompletion, completion_row, store_task
from storage.errors import BadInput
from storage.tables import (
    Account,
    Completion,
    Judgment,
    Policy,
    PolicyStatus,
    Project,
    Task,
    TaskCompletion,
    TaskKind,
)

_PUBLISHED = (PolicyStatus.LIVE, PolicyStatus.RETIRED)


@dataclass(frozen=True)
class HumanWinRate:
    """How often people preferred a version to the one before it; ties count half.

    `low` and `high` are the 95 % Wilson interval of `value`.
    """

    version: int
    over: int
    wins: int
    ties: int
    losses: int
    value: float
    low: float
    high: float

    @property
    def judgments(self) -> int:
        """Return on how many judgments it rests."""
        return self.wins + self.ties + self.losses

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "judgments": self.judgments}


def policy_before(session: Session, *, policy: Policy) -> Policy | None:
    """Return the policy that was live before a published one: the version before it, of those."""
    return session.exec(
        select(Policy)
        .where(
            Policy.project_id == policy.project_id,
            col(Policy.status).in_(_PUBLISHED),
            Policy.version < policy.version,
        )
        .order_by(col(Policy.version).desc())
        .limit(1)
    ).first()


def arena_wanted(session: Session, *, policy: Policy, count: int, share: float) -> int:
    """Return how many of `count` new tasks of a policy are to be arena tasks.

    As many as bring the policy's arena tasks to `share` of all its tasks, and never more than
    `share` of the new ones, rounded up: where pairs are too alike to be asked, the others go on.
    """
    total, arena = session.exec(
        select(
            func.count(),
            func.count().filter(col(Task.kind) == TaskKind.ARENA),
        ).where(
            Task.project_id == policy.project_id,
            Task.policy_id == policy.id,
            col(Task.kind).in_([TaskKind.ORDINARY, TaskKind.ARENA]),
        )
    ).one()
    missing = math.floor(share * (total + count)) - arena
    return max(0, min(missing, math.ceil(share * count)))


def add_arena_task(
    session: Session,
    *,
    project: Project,
    prompt_id: int,
    answers: Sequence[tuple[Policy, NewCompletion]],
    priority: int = 0,
) -> Task:
    """Store two completions of two policies, and the task that compares them, in the order given.

    Raises `BadInput` unless there are two, of two policies of the project.
    """
    policies = {policy.id: policy for policy, _ in answers if policy.project_id == project.id}
    if len(answers) != 2 or len(policies) != 2:
        raise BadInput("An arena task compares two completions of two policies of its project.")
    newest = max(policies.values(), key=lambda policy: policy.version)
    task = Task(
        project_id=key_of(project),
        prompt_id=prompt_id,
        policy_id=key_of(newest),
        overlap=1,
        priority=priority,
        kind=TaskKind.ARENA,
    )
    rows = [completion_row(new, prompt_id, key_of(policy)) for policy, new in answers]
    version = newest.version
    return store_task(session, task=task, completions=rows, policy_version=version, arena=True)


def human_win_rates(session: Session, *, project_id: int) -> dict[int, HumanWinRate]:
    """Return the win rate of each published version over the one before it, by version.

    Only versions that people have compared are there. It counts the judgments themselves: a lead's
    decision on an arena task is the task's label, and not one more person's opinion.
    """
    versions = session.exec(
        select(Policy.version)
        .where(Policy.project_id == project_id, col(Policy.status).in_(_PUBLISHED))
        .order_by(col(Policy.version))
    ).all()
    counts = _counts(session, project_id)
    return {
        version: win_rate(version, over, *counts[version, over])
        for over, version in pairwise(versions)
        if (version, over) in counts
    }


def human_win_rates_over_first(session: Session, *, project_id: int) -> dict[int, HumanWinRate]:
    """Return the win rate of published versions over the first policy, by version.

    An arena task compares a version with the one before it, so only those are there whose weights
    people saw beside those of version 1: version 2, whatever was published after a roll-back to
    version 1 or before one, and every version that has such weights again. Over the others nobody
    was asked.
    """
    weights = dict(
        session.exec(
            select(Policy.version, Policy.checkpoint_uri).where(
                Policy.project_id == project_id, col(Policy.status).in_(_PUBLISHED)
            )
        ).all()
    )
    first = min(weights, default=0)
    over_first: dict[str, tuple[int, int, int]] = {}
    for (newer, older), counts in _counts(session, project_id).items():
        ours, theirs = weights.get(newer), weights.get(older)
        if ours is None or theirs is None or ours == theirs or weights[first] not in (ours, theirs):
            continue
        other, seen = (ours, counts) if theirs == weights[first] else (theirs, counts[::-1])
        before = over_first.get(other, (0, 0, 0))
        over_first[other] = (before[0] + seen[0], before[1] + seen[1], before[2] + seen[2])
    return {
        version: win_rate(version, first, *over_first[checkpoint])
        for version, checkpoint in sorted(weights.items())
        if checkpoint in over_first
    }


def win_rate(version: int, over: int, wins: int, ties: int, losses: int) -> HumanWinRate:
    """Return p = (wins + ties / 2) / n with its interval; raise `ValueError` without a judgment."""
    n = wins + ties + losses
    if n == 0:
        raise ValueError("a win rate needs at least one judgment")
    value = (wins + ties / 2) / n
    low, high = wilson_interval(value, n)
    return HumanWinRate(version, over, wins, ties, losses, value, low, high)


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share of `n` trials.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), Wilson 1927 (Journal of the American
    Statistical Association 22, 209–212); recommended for small n by Brown, Cai & DasGupta 2001
    (Statistical Science 16, §3). With ties as halves p(1−p)/n is at least the variance of the
    mean, so that the interval is never too narrow for them.
    """
    low, high = wilson(np.array([share]), np.array([n]))
    return float(low[0]), float(high[0])


def _counts(session: Session, project_id: int) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Return (wins, ties, losses) of (version, older version) over all arena judgments."""
    rows = session.exec(
        select(Judgment.task_id, Judgment.ranks)
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        # The task's project: by their own all judgments would be gone through.
        .where(Task.project_id == project_id, Task.kind == TaskKind.ARENA, *usable())
    ).all()
    # After the judgments: each is of a task that is judged by now, whatever is committed meanwhile.
    of_task = _versions_by_position(session, project_id)
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    for task_id, ranks in rows:
        versions = of_task[task_id]
        newer, older = max(versions), min(versions)
        ahead = ranks[versions.index(older)] - ranks[versions.index(newer)]
        wins, ties, losses = found.get((newer, older), (0, 0, 0))
        found[newer, older] = (wins + (ahead > 0), ties + (ahead == 0), losses + (ahead < 0))
    return found


def _versions_by_position(session: Session, project_id: int) -> dict[int, list[int]]:
    completion = aliased(Completion)
    rows = session.exec(
        select(TaskCompletion.task_id, Policy.version)
        .join(completion, col(completion.id) == col(TaskCompletion.completion_id))
        .join(Policy, col(Policy.id) == col(completion.policy_id))
        .join(Task, col(Task.id) == col(TaskCompletion.task_id))
        .where(Task.project_id == project_id, Task.kind == TaskKind.ARENA, Task.judged > 0)
        .order_by(col(TaskCompletion.task_id), col(TaskCompletion.position))
    )
    found: dict[int, list[int]] = {}
    for task_id, version in rows:
        found.setdefault(task_id, []).append(version)
    return found
