"""Accounts and their sign-ins."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, enum_type, json_type, no_fields, no_items


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


class SignInWay(StrEnum):
    """How a sign-in was opened."""

    PASSWORD = "password"
    INVITATION = "invitation"
    OIDC = "oidc"


class Account(Row, table=True):
    """Someone, or something, that judges, leads or trains.

    `role` holds in every project that `project_roles` does not name: it maps a project's id (as
    text) to the role there, or to "" where the account has no business in it.

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
    project_roles: dict[str, str] = Field(default_factory=no_fields, sa_type=json_type())
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    erased_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SignIn(Row, table=True):
    """One signed-in browser; the cookie's random token is stored only as its SHA-256."""

    __tablename__ = "sign_in"

    token_sha256: str = Field(primary_key=True, max_length=64)
    account_id: int = Field(foreign_key="account.id", index=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_seen_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    way: SignInWay = Field(default=SignInWay.PASSWORD, sa_type=enum_type(SignInWay))
    address: str = Field(default="", max_length=45)
    user_agent: str = Field(default="", max_length=300)


class Invitation(Row, table=True):
    """A link that makes one account, once; its random code is stored only as its SHA-256.

    With `account_id` it is for an account that exists: a new password for it.
    """

    __tablename__ = "invitation"

    id: int | None = Field(default=None, primary_key=True)
    code_sha256: str = Field(max_length=64, unique=True)
    role: Role = Field(sa_type=enum_type(Role))
    project_id: int | None = Field(default=None, foreign_key="project.id")
    account_id: int | None = Field(default=None, foreign_key="account.id")
    note: str = Field(default="", max_length=200)
    by_id: int | None = Field(default=None, foreign_key="account.id")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    used_by_id: int | None = Field(default=None, foreign_key="account.id")
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AccessToken(Row, table=True):
    """A personal token of a program; only its SHA-256 is stored.

    `actions` are the values of `labeling.permissions.Action` that it may do of those that its
    account may; empty: all of them.
    """

    __tablename__ = "access_token"

    id: int | None = Field(default=None, primary_key=True)
    token_sha256: str = Field(max_length=64, unique=True)
    account_id: int = Field(foreign_key="account.id", index=True)
    name: str = Field(max_length=100)
    actions: list[Any] = Field(default_factory=no_items, sa_type=json_type())
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class PoolMember(Row, table=True):
    """An annotator's pool in a project: pooled tasks are lent to its members alone."""

    __tablename__ = "pool_member"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    account_id: int = Field(foreign_key="account.id", primary_key=True)
    pool: str = Field(max_length=100)
