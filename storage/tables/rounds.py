"""Rounds of training, their curves, their snapshots, and the lease of the worker that runs them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, enum_type, json_type, no_fields, seed_type


class RoundState(StrEnum):
    """The step that a round is in, or how it ended."""

    QUEUED = "queued"
    SNAPSHOT = "snapshot"
    SFT = "sft"
    REWARD = "reward"
    PPO = "ppo"
    EVALUATE = "evaluate"
    PUBLISH = "publish"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Say whether the round has nothing left to do."""
        return self in (RoundState.DONE, RoundState.REJECTED, RoundState.FAILED)


RUNNING = text("state NOT IN ('done', 'rejected', 'failed')")


class Snapshot(Row, table=True):
    """Judgments frozen for training: Parquet and a manifest under `uri`, never changed again.

    `query` is what was asked for; the manifest says what that gave, and why each other row is out.
    """

    __tablename__ = "snapshot"

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    name: str = Field(default="", max_length=100)
    query: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    by_id: int | None = Field(default=None, foreign_key="account.id")
    uri: str
    rows_sha256: str = Field(max_length=64)
    manifest: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Round(Row, table=True):
    """One turn of the loop; at most one that has not ended in a project."""

    __tablename__ = "round"
    __table_args__ = (
        UniqueConstraint("project_id", "number"),
        Index(
            "uq_round_running",
            "project_id",
            unique=True,
            sqlite_where=RUNNING,
            postgresql_where=RUNNING,
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    number: int
    state: RoundState = Field(default=RoundState.QUEUED, sa_type=enum_type(RoundState))
    reason: str = ""
    seed: int = Field(default=0, sa_type=seed_type())
    judgments: int = 0
    requested_by_id: int | None = Field(default=None, foreign_key="account.id")
    snapshot_id: int | None = Field(default=None, foreign_key="snapshot.id")
    base_policy_id: int | None = Field(default=None)
    settings: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    artefacts: dict[str, str] = Field(default_factory=no_fields, sa_type=json_type())
    metrics: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    attempts: int = 0
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RoundPoint(Row, table=True):
    """One point of a round's curves: the metrics of optimisation step `step_index` in `state`."""

    __tablename__ = "round_point"

    round_id: int = Field(foreign_key="round.id", primary_key=True)
    state: RoundState = Field(sa_type=enum_type(RoundState), primary_key=True)
    step_index: int = Field(primary_key=True)
    steps: int = 0
    metrics: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class WorkerLease(Row, table=True):
    """Who trains a project until when; `epoch` rises with each owner and fences its writes."""

    __tablename__ = "worker_lease"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    owner: str = Field(max_length=100)
    epoch: int = 1
    expires_at: datetime = Field(sa_type=UtcDateTime)
    heartbeat_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    progress_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    host: str = ""
    pid: int = 0
    device: str = ""
    doing: str = ""
