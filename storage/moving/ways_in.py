"""Ways in that a backup brings back: closed after a restore, and what was taken away since, told.

A backup is older than what it replaces. A sign-in that was ended, an invitation that was used and a
token that was revoked since would be good again, and somebody who was erased or switched off would
be back. Names of columns are asked for alone that revision 0001 has, or looked up: a backup of an
older version is restored before it is upgraded.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    and_,
    column,
    func,
    insert,
    inspect,
    or_,
    select,
    table,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from storage.clock import now
from storage.core import table_of
from storage.engine import writing
from storage.tables import AccessToken, Event, Invitation, SignIn

#: what the events of a restore say of why something was revoked
WHY = "restored"


@dataclass(frozen=True)
class Closed:
    """Tell how many ways in were open in a backup and are closed now."""

    sign_ins: int
    invitations: int
    tokens: int


@dataclass(frozen=True)
class StoredAccount:
    """An account as a database has it; `key` tells it from one of the same number elsewhere."""

    id: int
    key: str
    name: str
    role: str
    project_roles: dict[str, str]
    active: bool
    password_hash: str | None
    oidc_subject: str | None
    erased: bool


@dataclass(frozen=True)
class BroughtBack:
    """An account that a backup has otherwise than the database that it replaced.

    `name` is the backup's, and empty where the person was erased since. `role` is the role that the
    account had last, None where the backup has the same; `project_roles` are those of single
    projects (by number) that differ, None where the project had none of its own.
    """

    account_id: int
    name: str
    erased: bool = False
    switched_off: bool = False
    role: str | None = None
    project_roles: tuple[tuple[str, str | None], ...] = ()
    password: bool = False
    single_sign_on: bool = False

    @property
    def whom(self) -> str:
        """Return the name, or the number where the name was erased."""
        return self.name or f"account {self.account_id}"


def stored_accounts(engine: Engine) -> list[StoredAccount] | None:
    """Return the accounts of a database of any revision; None where they cannot be read."""
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("account"):
                return []
            # Every column that there is: older revisions have fewer.
            rows = connection.execute(text("SELECT * FROM account ORDER BY id")).mappings().all()
            return [_account(dict(row)) for row in rows]
    except (DBAPIError, sqlite3.Error, ValueError, KeyError):
        # What is replaced may be no database any more: a reason to restore.
        return None


def _account(row: dict[str, Any]) -> StoredAccount:
    roles = row.get("project_roles") or {}
    return StoredAccount(
        id=int(row["id"]),
        key=str(row["created_at"]),
        name=str(row["name"]),
        role=str(row["role"]),
        project_roles=dict(json.loads(roles) if isinstance(roles, str) else roles),
        active=bool(row["active"]),
        password_hash=row["password_hash"],
        oidc_subject=row["oidc_subject"],
        erased=row.get("erased_at") is not None,
    )


def brought_back(
    restored: list[StoredAccount], replaced: list[StoredAccount]
) -> tuple[BroughtBack, ...]:
    """Return the accounts from which something was taken since that a backup gives back."""
    since = {(one.id, one.key): one for one in replaced}
    pairs = [(one, since.get((one.id, one.key))) for one in restored]
    found = [_difference(one, later) for one, later in pairs if later is not None]
    return tuple(one for one in found if one is not None)


def _difference(before: StoredAccount, later: StoredAccount) -> BroughtBack | None:
    if later.erased:
        return None if before.erased else BroughtBack(before.id, "", erased=True)
    roles = [
        (key, later.project_roles.get(key))
        for key in sorted({*before.project_roles, *later.project_roles})
        if later.project_roles.get(key) != before.project_roles.get(key)
    ]
    # What is no project's number holds wherever none is named: a role in general takes it away.
    in_general = later.role != before.role or not all(key.isdecimal() for key, _ in roles)
    found = BroughtBack(
        before.id,
        before.name,
        switched_off=before.active and not later.active,
        role=later.role if in_general else None,
        project_roles=tuple((key, role) for key, role in roles if key.isdecimal()),
        password=before.password_hash not in (None, later.password_hash),
        single_sign_on=before.oidc_subject not in (None, later.oidc_subject),
    )
    return None if found == BroughtBack(before.id, before.name) else found


def close_ways_in(engine: Engine) -> Closed:
    """Close every open sign-in, invitation and token, with events, in one transaction."""
    with writing(engine) as session:
        connection = session.connection()
        there = set(inspect(connection).get_table_names())
        sign_ins = _close_sign_ins(connection)
        invitations = _revoke(connection, Invitation, there, "invitation")
        tokens = _revoke(connection, AccessToken, there, "access_token")
    return Closed(sign_ins=sign_ins, invitations=invitations, tokens=tokens)


def _close_sign_ins(connection: Connection) -> int:
    stored = table_of(SignIn)
    is_open = stored.c.revoked_at.is_(None) & (stored.c.expires_at > now())
    counts = connection.execute(
        select(stored.c.account_id, func.count())
        .where(is_open)
        .group_by(stored.c.account_id)
        .order_by(stored.c.account_id)
    ).all()
    connection.execute(update(stored).where(is_open).values(revoked_at=now()))
    for account_id, count in counts:
        _record(connection, "sign_in.revoked", {"whose_id": account_id, "count": count})
    return sum(count for _, count in counts)


def _revoke(connection: Connection, kind: Any, there: set[str], what: str) -> int:
    """Revoke what is open of a table that older revisions do not have."""
    stored = table_of(kind)
    if stored.name not in there:
        return 0
    unused = [stored.c.used_at.is_(None)] if "used_at" in stored.c else []
    in_time = or_(stored.c.expires_at.is_(None), stored.c.expires_at > now())
    is_open = and_(stored.c.revoked_at.is_(None), in_time, *unused)
    rows = connection.execute(select(stored).where(is_open).order_by(stored.c.id)).all()
    connection.execute(update(stored).where(is_open).values(revoked_at=now()))
    for row in rows:
        _record(connection, f"{what}.revoked", *_told(what, row))
    return len(rows)


def _told(what: str, row: Any) -> Iterator[Any]:
    """Yield detail, personal and project of an event as `labeling/people` writes them."""
    if what == "invitation":
        yield from ({"invitation_id": row.id}, None, row.project_id)
    else:
        yield from ({"token_id": row.id, "whose_id": row.account_id}, {"name": row.name}, None)


def _record(
    connection: Connection,
    kind: str,
    detail: dict[str, Any],
    personal: dict[str, Any] | None = None,
    project_id: int | None = None,
) -> None:
    values = {
        "project_id": project_id,
        "kind": kind,
        "detail": {**detail, "why": WHY},
        "personal": personal,
        "audited": True,
        "created_at": now(),
    }
    stored = table_of(Event)
    there = {each["name"] for each in inspect(connection).get_columns(stored.name)}
    names = [name for name in values if name in there]
    # Not the table itself: it would fill in its defaults of columns that are not there yet.
    event = table(stored.name, *(column(name, stored.c[name].type) for name in names))
    connection.execute(insert(event).values({name: values[name] for name in names}))
