"""What a monitor watches of a project: a few counts that the database answers from its indexes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, text
from sqlmodel import Session, col, func, select

from storage.clock import now
from storage.tables import (
    Assignment,
    AssignmentState,
    Judgment,
    Policy,
    PolicyStatus,
    Round,
    RoundPoint,
    RoundState,
    Task,
    TaskStatus,
    Webhook,
    WebhookDelivery,
    WorkerLease,
)
from storage.tables.tasks import LEASED_ASSIGNMENT
from storage.tables.webhooks import PENDING_DELIVERY

REWARD, KL = "objective/scores", "objective/kl"


@dataclass(frozen=True)
class MonitoredRound:
    """Hold the newest round: where it is, for how many seconds, and its newest PPO figures.

    `age` is None once it has ended; `reward` (mean score of a completion) and `kl` (nats a
    completion from the reference) are None until PPO has begun.
    """

    number: int
    state: RoundState
    age: float | None
    step_index: int
    steps: int
    reward: float | None
    kl: float | None


@dataclass(frozen=True)
class MonitoredWorker:
    """Hold the worker's lease: how often it was taken, and the seconds that it still holds.

    `seconds_left` is negative where it ran out or was given back; `silent` counts the seconds since
    the last heartbeat.
    """

    taken: int
    seconds_left: float
    silent: float


@dataclass(frozen=True)
class Monitored:
    """Hold the figures of one moment.

    `leased` tasks are at an annotator now; `expired` leases ran out and were not taken up again.
    """

    judgments: int
    tasks: dict[str, int]
    leased: int
    expired: int
    live_version: int
    rounds: dict[str, int]
    round: MonitoredRound | None
    worker: MonitoredWorker | None
    deliveries: int


def monitored(session: Session, *, project_id: int) -> Monitored:
    """Return the figures of the project as they are now."""
    moment = now()
    leased, expired = _leases(session, project_id, moment)
    return Monitored(
        judgments=session.exec(
            select(func.count()).select_from(Judgment).where(Judgment.project_id == project_id)
        ).one(),
        tasks=_counts(session, col(Task.status), TaskStatus, Task.project_id == project_id),
        leased=leased,
        expired=expired,
        live_version=session.exec(
            select(func.coalesce(func.max(Policy.version), 0)).where(
                Policy.project_id == project_id, Policy.status == PolicyStatus.LIVE
            )
        ).one(),
        rounds=_counts(session, col(Round.state), RoundState, Round.project_id == project_id),
        round=_newest_round(session, project_id, moment),
        worker=_worker(session, project_id, moment),
        deliveries=session.exec(
            select(func.count())
            .select_from(WebhookDelivery)
            .join(Webhook, col(Webhook.id) == col(WebhookDelivery.webhook_id))
            .where(Webhook.project_id == project_id, text(PENDING_DELIVERY))
        ).one(),
    )


def _counts(
    session: Session, column: Any, kinds: type[StrEnum], here: ColumnElement[bool] | bool
) -> dict[str, int]:
    """Return how many rows are in each state, those in which none is included."""
    found = session.execute(select(column, func.count()).where(here).group_by(column)).all()
    return {kind.value: 0 for kind in kinds} | {state.value: count for state, count in found}


def _leases(session: Session, project_id: int, moment: datetime) -> tuple[int, int]:
    """Return the leases that hold and those that ran out."""
    found = session.exec(
        select(
            func.count(),
            func.count().filter(col(Assignment.expires_at) <= moment),
        )
        .select_from(Assignment)
        .join(Task, col(Task.id) == col(Assignment.task_id))
        .where(
            text(LEASED_ASSIGNMENT),
            Assignment.state == AssignmentState.LEASED,
            Task.project_id == project_id,
        )
    ).one()
    return found[0] - found[1], found[1]


def _newest_round(session: Session, project_id: int, moment: datetime) -> MonitoredRound | None:
    one = session.exec(
        select(Round)
        .where(Round.project_id == project_id)
        .order_by(col(Round.number).desc())
        .limit(1)
    ).first()
    if one is None:
        return None
    points = select(RoundPoint).where(RoundPoint.round_id == one.id)
    now_at = session.exec(
        points.where(RoundPoint.state == one.state)
        .order_by(col(RoundPoint.step_index).desc())
        .limit(1)
    ).first()
    ppo = session.exec(
        points.where(RoundPoint.state == RoundState.PPO)
        .order_by(col(RoundPoint.step_index).desc())
        .limit(1)
    ).first()
    metrics = ppo.metrics if ppo is not None else {}
    return MonitoredRound(
        number=one.number,
        state=one.state,
        age=None if one.state.ended else (moment - one.created_at).total_seconds(),
        step_index=now_at.step_index if now_at else 0,
        steps=now_at.steps if now_at else 0,
        reward=metrics.get(REWARD),
        kl=metrics.get(KL),
    )


def _worker(session: Session, project_id: int, moment: datetime) -> MonitoredWorker | None:
    lease = session.get(WorkerLease, project_id)
    if lease is None:
        return None
    return MonitoredWorker(
        taken=lease.epoch,
        seconds_left=(lease.expires_at - moment).total_seconds(),
        silent=(moment - lease.heartbeat_at).total_seconds(),
    )
