"""Prompts, the policies that answer them, and their completions."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from storage.clock import now
from storage.tables.base import (
    Row,
    UtcDateTime,
    enum_type,
    json_type,
    no_fields,
    no_items,
    seed_type,
)


class Split(StrEnum):
    """Which side of training a prompt is on, for good."""

    TRAIN = "train"
    HELDOUT = "heldout"


class PolicyKind(StrEnum):
    """Where a policy's completions come from."""

    LOCAL = "local"
    ENDPOINT = "endpoint"
    IMPORT = "import"


class PolicyStatus(StrEnum):
    """Where a policy stands in the loop."""

    CANDIDATE = "candidate"
    LIVE = "live"
    RETIRED = "retired"
    REJECTED = "rejected"


class Prompt(Row, table=True):
    """A conversation to be continued: `messages` is `[{"role", "content"}, …]`.

    `tags` and `language` (a BCP 47 tag, or nothing) are what figures may be divided by.
    """

    __tablename__ = "prompt"
    __table_args__ = (UniqueConstraint("project_id", "content_sha256"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    messages: list[dict[str, str]] = Field(sa_type=json_type())
    content_sha256: str = Field(max_length=64)
    source: str = ""
    license: str = ""
    split: Split = Field(sa_type=enum_type(Split), index=True)
    written_by_id: int | None = Field(default=None, foreign_key="account.id")
    tags: list[str] = Field(default_factory=no_items, sa_type=json_type())
    language: str = Field(default="", max_length=35)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Policy(Row, table=True):
    """A version of the model that answers; without a scheme `checkpoint_uri` is under home.

    `endpoint` says how a server is asked (address, model, limits, price; the name of the
    environment variable that holds its key, never the key).
    """

    __tablename__ = "policy"
    __table_args__ = (
        UniqueConstraint("project_id", "version"),
        Index(
            "uq_policy_live",
            "project_id",
            unique=True,
            sqlite_where=text("status = 'live'"),
            postgresql_where=text("status = 'live'"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    version: int
    parent_id: int | None = Field(default=None, foreign_key="policy.id")
    round_id: int | None = Field(default=None, foreign_key="round.id", unique=True)
    name: str = Field(default="", max_length=200)
    checkpoint_uri: str = ""
    kind: PolicyKind = Field(default=PolicyKind.LOCAL, sa_type=enum_type(PolicyKind))
    status: PolicyStatus = Field(default=PolicyStatus.CANDIDATE, sa_type=enum_type(PolicyStatus))
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    endpoint: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    published_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Completion(Row, table=True):
    """One answer of a policy to a prompt, with how it was sampled."""

    __tablename__ = "completion"

    id: int | None = Field(default=None, primary_key=True)
    prompt_id: int = Field(foreign_key="prompt.id", index=True)
    policy_id: int = Field(foreign_key="policy.id", index=True)
    text: str
    sampling: dict[str, Any] = Field(default_factory=no_fields, sa_type=json_type())
    seed: int = Field(default=0, sa_type=seed_type())
    finish_reason: str = Field(default="stop", max_length=16)
    token_count: int = 0
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
