"""Which snapshots there are: listed with what trained on them, found by number or name."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from labeling.keys import key_of
from labeling.permissions import Action, require
from storage.errors import NotFound
from storage.tables import Account, Round, Snapshot

#: digits of the largest number that each database can compare an id with
_LONGEST_ID = 18


@dataclass(frozen=True)
class SnapshotSummary:
    """A snapshot as it is listed, with the numbers of the rounds that trained on it."""

    id: int
    name: str
    created_at: datetime
    judgments: int
    excluded: int
    rows_sha256: str
    query: dict[str, Any]
    rounds: tuple[int, ...]
    uri: str
    by: str


def list_snapshots(
    session: Session, *, project_id: int, account: Account | None
) -> list[SnapshotSummary]:
    """Return the project's snapshots, oldest first; raise `NotAllowed`."""
    if account is not None:
        require(account, Action.EXPORT, project_id=project_id)
    rounds = session.execute(
        select(Round.snapshot_id, Round.number)
        .where(Round.project_id == project_id, col(Round.snapshot_id).is_not(None))
        .order_by(col(Round.number))
    ).all()
    statement = (
        select(Snapshot, Account.name)
        .join(Account, col(Account.id) == col(Snapshot.by_id), isouter=True)
        .where(Snapshot.project_id == project_id)
        .order_by(col(Snapshot.id))
    )
    return [
        _summary(each, by or "", tuple(number for of, number in rounds if of == each.id))
        for each, by in session.exec(statement)
    ]


def _summary(snapshot: Snapshot, by: str, rounds: tuple[int, ...]) -> SnapshotSummary:
    return SnapshotSummary(
        id=key_of(snapshot),
        name=snapshot.name,
        created_at=snapshot.created_at,
        judgments=int(snapshot.manifest.get("judgments", 0)),
        excluded=sum(snapshot.manifest.get("excluded", {}).values()),
        rows_sha256=snapshot.rows_sha256,
        query=snapshot.query,
        rounds=rounds,
        uri=snapshot.uri,
        by=by,
    )


def find_snapshot(session: Session, *, project_id: int, which: str) -> Snapshot:
    """Return a snapshot by id or name; raise `NotFound`."""
    found = (
        session.exec(
            select(Snapshot).where(Snapshot.project_id == project_id, Snapshot.id == int(which))
        ).first()
        if which.isdecimal() and len(which) <= _LONGEST_ID
        else named_snapshot(session, project_id=project_id, name=which)
    )
    if found is None:
        raise NotFound(f"There is no snapshot {which}; `rankloop snapshot list` shows them.")
    return found


def named_snapshot(session: Session, *, project_id: int, name: str) -> Snapshot | None:
    """Return the snapshot of that name, or None."""
    return session.exec(
        select(Snapshot).where(Snapshot.project_id == project_id, Snapshot.name == name)
    ).first()
