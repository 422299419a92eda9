"""What annotators are told of training: that the model learned from them, never which is whose."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from labeling.datasets.snapshots import TRAINED
from storage.core import ONE, table_of
from storage.tables import Policy, PolicyStatus, Round, Snapshot


@dataclass(frozen=True)
class Learned:
    """Tell that a policy was published which learned from `judgments` rankings of theirs."""

    policy_version: int
    judgments: int
    published_at: datetime


def learned(
    version: int | None, published_at: datetime | None, trained: dict[str, int] | None, *, by: int
) -> Learned | None:
    """Return what `newest_published` says to the annotator `by`: how much of it was theirs.

    `judgments` is what the round's snapshot holds for training: no tests of annotators, no held-out
    prompts, nothing that a lead discarded or decided; a correction is no second one. It is 0 where
    the snapshot is from before that was noted. None before the first publish.
    """
    if version is None or published_at is None:
        return None
    return Learned(version, trained.get(str(by), 0) if trained else 0, published_at)


def newest_published() -> Any:
    """Return the question for the newest published policy that a round made: `learned`'s values.

    Its parameter is `project_id`; it has no row before the first publish.
    """
    policy, made_by, snapshot = table_of(Policy), table_of(Round), table_of(Snapshot)
    return (
        select(
            policy.c.version,
            policy.c.published_at,
            snapshot.c.manifest[TRAINED].as_json().label("trained"),
        )
        .join(made_by, made_by.c.id == policy.c.round_id)
        .join(snapshot, snapshot.c.id == made_by.c.snapshot_id)
        .where(
            policy.c.project_id == bindparam("project_id"),
            policy.c.version > 1,
            policy.c.status.in_([PolicyStatus.LIVE, PolicyStatus.RETIRED]),
            policy.c.published_at.is_not(None),
        )
        .order_by(policy.c.version.desc())
        .limit(ONE)
    )
