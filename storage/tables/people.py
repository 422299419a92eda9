"""Accounts and their sign-ins."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, enum_type


class Role(StrEnum):
    """What an account may do; `labeling/permissions.py` has the table."""

    ANNOTATOR = "annotator"
    LEAD = "lead"
    ENGINEER = "engineer"
    ADMIN = "admin"


class AccountKind(StrEnum):
    """Who is behind an account."""

    PERSON = "person"
    SIMULATED = "simulated"
    MODEL = "model"


class Account(Row, table=True):
    """Someone, or something, that judges, leads or trains.

    `imported_from` is set where an annotator only came with a file of judgments: the account counts
    in figures and in training like any other, but nobody can sign in to it, or judge as it.
    """

    __tablename__ = "account"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=100, unique=True)
    role: Role = Field(sa_type=enum_type(Role))
    kind: AccountKind = Field(default=AccountKind.PERSON, sa_type=enum_type(AccountKind))
    password_hash: str | None = None
    oidc_subject: str | None = Field(default=None, unique=True)
    active: bool = True
    imported_from: str = Field(default="", max_length=200)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class SignIn(Row, table=True):
    """One signed-in browser; the cookie's random token is stored only as its SHA-256."""

    __tablename__ = "sign_in"

    token_sha256: str = Field(primary_key=True, max_length=64)
    account_id: int = Field(foreign_key="account.id", index=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class PoolMember(Row, table=True):
    """An annotator's pool in a project: pooled tasks are lent to its members alone."""

    __tablename__ = "pool_member"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    account_id: int = Field(foreign_key="account.id", primary_key=True)
    pool: str = Field(max_length=100)
