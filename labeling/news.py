"""What annotators are told of training: that the model learned from them, never which is whose."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from labeling.datasets.snapshots import TRAINED
from storage.tables import Policy, PolicyStatus, Round, Snapshot


@dataclass(frozen=True)
class Learned:
    """Tell that a policy was published which learned from `judgments` rankings of theirs."""

    policy_version: int
    judgments: int
    published_at: datetime


def learned_from(session: Session, *, project_id: int, annotator_id: int) -> Learned | None:
    """Return the newest published policy that a round made, and how much of it was theirs.

    `judgments` is what the round's snapshot holds for training: no tests of annotators, no held-out
    prompts, nothing that a lead discarded or decided; a correction is no second one. It is 0 where
    the snapshot is from before that was noted. None before the first publish.
    """
    newest = session.exec(
        select(Policy.version, Policy.published_at, Snapshot.manifest)
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
    version, published_at, manifest = newest
    assert published_at is not None
    judged = manifest.get(TRAINED, {}).get(str(annotator_id), 0)
    return Learned(version, judged, published_at)
