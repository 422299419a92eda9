"""Freshness: how much of the pool is of superseded policies, and withdrawing what is."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, cast
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.review.decisions import REAL_WORK
from storage.clock import now
from storage.tables import (
    Assignment,
    AssignmentState,
    Judgment,
    Policy,
    PolicyKind,
    PolicyStatus,
    Project,
    Task,
    TaskStatus,
)

_AT_ONCE = 200  # tasks locked in one transaction: annotators must not wait for the others
_KEPT_PRIORITY = 1  # the live policy's tasks have 0
_KNUTH = 2654435761  # 2³² over the golden ratio


@dataclass(frozen=True)
class Staleness:
    """Say how old the pool is.

    `stale` of `ready` tasks are not of the live policy; `share` is their ratio (None without a
    ready task). `mean_age` is how many published versions behind the live one the last `judged`
    judgments' tasks are, on average (None without a judgment). `versionless` more tasks are ready
    whose completions were imported, or come from a model behind a server: those are of no version
    that could be behind another.
    """

    ready: int
    stale: int
    share: float | None
    mean_age: float | None
    judged: int
    versionless: int = 0

    @property
    def waiting(self) -> int:
        """Return how many tasks people can still judge."""
        return self.ready + self.versionless

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def staleness(session: Session, project_id: int) -> Staleness:
    """Measure the ready tasks that are real work, and the newest judgments of such tasks."""
    by_policy = session.exec(
        select(Task.policy_id, Policy.kind, func.count())
        .join(Policy, col(Policy.id) == col(Task.policy_id))
        .where(
            Task.project_id == project_id,
            Task.status == TaskStatus.READY,
            col(Task.kind).in_(REAL_WORK),
        )
        .group_by(col(Task.policy_id), col(Policy.kind))
    ).all()
    counts = {policy_id: n for policy_id, kind, n in by_policy if kind is PolicyKind.LOCAL}
    ages = _ages(session, project_id)
    ready = sum(counts.values())
    stale = sum(count for policy_id, count in counts.items() if ages.get(policy_id) != 0)
    window = labeling_settings(session.get_one(Project, project_id)).freshness.age_of_judgments
    judged = session.exec(
        select(Task.policy_id)
        .join(Judgment, col(Judgment.task_id) == col(Task.id))
        .where(Judgment.project_id == project_id, col(Task.kind).in_(REAL_WORK))
        # The order of an index: by the id alone all judgments of the project would be sorted.
        .order_by(col(Judgment.created_at).desc(), col(Judgment.id).desc())
        .limit(window)
    ).all()
    found = [ages[policy_id] for policy_id in judged if policy_id in ages]
    return Staleness(
        ready=ready,
        stale=stale,
        share=stale / ready if ready else None,
        mean_age=sum(found) / len(found) if found else None,
        judged=len(found),
        versionless=sum(n for _, _, n in by_policy) - ready,
    )


def withdraw_stale(session: Session, *, project_id: int, live_ready: int, enough: int) -> int:
    """Withdraw ready tasks of superseded policies where the live one has `enough`; return how many.

    A task that is lent now stays until its lease has ended. `freshness.kept_share` of the tasks
    stay for good, chosen by their number, and come first: they are few, and soon too old to say
    anything. Tests, and tasks of policies that were never live (imported completions), are left
    alone. The session must be writing.
    """
    settings = labeling_settings(session.get_one(Project, project_id)).freshness
    if not settings.withdraw or live_ready < enough:
        return 0
    kept = _is_kept(settings.kept_share)
    for task in _locked_stale(session, project_id, kept, col(Task.priority) == 0):
        task.priority = _KEPT_PRIORITY
    withdrawn = _locked_stale(session, project_id, ~kept)
    for task in withdrawn:
        task.status = TaskStatus.WITHDRAWN
    if withdrawn:
        record(
            session,
            project_id=project_id,
            account_id=None,
            kind="tasks.withdrawn",
            task_ids=[task.id for task in withdrawn],
            reason="a newer policy is live",
        )
    session.flush()
    return len(withdrawn)


def _ages(session: Session, project_id: int) -> dict[int, int]:
    """Return how many published versions each policy that was live is behind the live one."""
    published = session.exec(
        select(Policy.id)
        .where(
            Policy.project_id == project_id,
            col(Policy.status).in_([PolicyStatus.LIVE, PolicyStatus.RETIRED]),
        )
        .order_by(col(Policy.version).desc())
    )
    return {policy_id: age for age, policy_id in enumerate(published) if policy_id is not None}


def _locked_stale(
    session: Session, project_id: int, *conditions: ColumnElement[bool]
) -> list[Task]:
    """Lock ready tasks of superseded policies that fit the conditions and that nobody holds."""
    locked = session.exec(
        select(Task)
        .join(Policy, col(Policy.id) == col(Task.policy_id))
        .where(
            Task.project_id == project_id,
            Task.status == TaskStatus.READY,
            col(Task.kind).in_(REAL_WORK),
            Policy.status == PolicyStatus.RETIRED,
            *conditions,
        )
        .order_by(col(Task.id))
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True, key_share=True, of=Task)
        .execution_options(populate_existing=True)
    ).all()
    # Looked at after the locks are held: a lease that was given in between is seen.
    held = set(
        session.exec(
            select(Assignment.task_id).where(
                col(Assignment.task_id).in_([key_of(task) for task in locked]),
                Assignment.state == AssignmentState.LEASED,
                col(Assignment.expires_at) > now(),
            )
        )
    )
    return [task for task in locked if task.id not in held]


def _is_kept(share: float) -> ColumnElement[bool]:
    """Choose a share of all tasks, always the same ones: a second look takes no further part."""
    # Knuth's multiplicative hashing (The Art of Computer Programming 3, §6.4) spreads the numbers.
    spread = cast(col(Task.id), BigInteger) * _KNUTH % 2**32
    return spread < round(share * 2**32)
