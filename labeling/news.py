"""What annotators are told of training: that the model learned from them, never which is whose."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from labeling.decisions import REAL_WORK, not_discarded
from storage.tables import (
    Judgment,
    Policy,
    PolicyStatus,
    Prompt,
    Round,
    Snapshot,
    Split,
    Task,
)


@dataclass(frozen=True)
class Learned:
    """Tell that a policy was published which learned from `judgments` rankings of theirs."""

    policy_version: int
    judgments: int
    published_at: datetime


def learned_from(session: Session, *, project_id: int, annotator_id: int) -> Learned | None:
    """Return the newest published policy that a round made, and how much of it was theirs.

    `judgments` counts the training tasks that the annotator had judged when the round's snapshot
    was taken: no tests of annotators, no held-out prompts, nothing that a lead discarded; a
    correction is no second one. None before the first publish.
    """
    newest = session.exec(
        select(Policy.version, Policy.published_at, Snapshot.created_at)
        .join(Round, col(Round.id) == col(Policy.round_id))
        .join(Snapshot, col(Snapshot.id) == col(Round.snapshot_id))
        .where(
            Policy.project_id == project_id,
            Policy.version > 1,
            col(Policy.status).in_([PolicyStatus.LIVE, PolicyStatus.RETIRED]),
            col(Policy.published_at).is_not(None),
        )
        .order_by(col(Policy.version).desc())
        .limit(1)
    ).first()
    if newest is None:
        return None
    version, published_at, frozen_at = newest
    assert published_at is not None
    return Learned(version, _trained_on(session, project_id, annotator_id, frozen_at), published_at)


def _trained_on(session: Session, project_id: int, annotator_id: int, frozen_at: datetime) -> int:
    newer = aliased(Judgment)
    corrected = exists().where(
        col(newer.supersedes_id) == Judgment.id, col(newer.created_at) <= frozen_at
    )
    return session.exec(
        select(func.count())
        .select_from(Judgment)
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .where(
            Judgment.project_id == project_id,
            Judgment.annotator_id == annotator_id,
            Judgment.created_at <= frozen_at,
            ~corrected,
            not_discarded(),
            col(Task.kind).in_(REAL_WORK),
            Prompt.split == Split.TRAIN,
        )
    ).one()
