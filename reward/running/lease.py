"""The lease that lets exactly one worker train a project, and the epoch that fences its writes.

docs/decisions/0005-worker-lease.md tells why it is a row and not a queue.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from storage.clock import now
from storage.errors import RankloopError
from storage.tables import WorkerLease


class LeaseLost(RankloopError):
    """Say that another worker may train the project by now, so nothing more may be written."""


@dataclass(frozen=True)
class Lease:
    """Hold the right to train one project, as given to `owner` for the `epoch`-th time."""

    project_id: int
    owner: str
    epoch: int


def acquire(
    session: Session,
    *,
    project_id: int,
    owner: str,
    seconds: float,
    host: str,
    pid: int,
    device: str,
    dead_owner: str | None = None,
) -> Lease | None:
    """Take the project's lease for `seconds`; return None while another owner holds it.

    One statement decides, so two workers never both get it. Every success raises the epoch, one
    by the same owner too: what an earlier process of that owner still does is fenced off.
    The lease of `dead_owner`, whose process is known to be gone, is taken before it runs out.
    """
    moment = now()
    held: dict[str, Any] = {
        "owner": owner,
        "expires_at": moment + timedelta(seconds=seconds),
        "heartbeat_at": moment,
        "progress_at": moment,
        "host": host,
        "pid": pid,
        "device": device,
        "doing": "starting",
    }
    insert = _insert_of(session)
    statement = (
        insert(WorkerLease)
        .values(project_id=project_id, epoch=1, **held)
        .on_conflict_do_update(
            index_elements=["project_id"],
            set_={**held, "epoch": col(WorkerLease.epoch) + 1},
            where=or_(
                col(WorkerLease.expires_at) <= moment,
                col(WorkerLease.owner).in_([owner, dead_owner or owner]),
            ),
        )
        .returning(col(WorkerLease.epoch))
    )
    epoch = session.connection().execute(statement).scalar_one_or_none()
    return None if epoch is None else Lease(project_id=project_id, owner=owner, epoch=epoch)


def renew(session: Session, *, lease: Lease, seconds: float) -> bool:
    """Extend the lease to `seconds` from now; return False if another worker has taken it.

    A lease that ran out untaken (a laptop that slept) is extended: nobody wrote in between.
    """
    moment = now()
    return _update(
        session, lease, heartbeat_at=moment, expires_at=moment + timedelta(seconds=seconds)
    )


def release(session: Session, *, lease: Lease) -> None:
    """Give the lease back at once; do nothing where it is no longer ours.

    The row stays, since a deleted one would start again at epoch 1 and let an old owner in.
    """
    _update(session, lease, expires_at=now(), doing="stopped")


def require(session: Session, *, lease: Lease) -> None:
    """Raise `LeaseLost` unless the lease is ours and running; hold its row until the commit.

    Call it first in the transaction of every write that a worker may do only while it owns the
    project. PostgreSQL locks the row; on SQLite `storage.engine.writing` holds the one write lock.
    """
    row = session.exec(
        select(WorkerLease)
        .where(WorkerLease.project_id == lease.project_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None or (row.owner, row.epoch) != (lease.owner, lease.epoch):
        holder = f"worker {row.owner}" if row else "nobody"
        raise LeaseLost(
            f"This worker no longer trains the project ({holder} does); nothing was written."
        )
    if row.expires_at <= now():
        raise LeaseLost(
            "This worker's lease ran out before it was renewed; nothing was written. The next "
            "worker goes on from the last finished step."
        )


def report_progress(
    session: Session, *, lease: Lease, doing: str | None, device: str | None = None
) -> None:
    """Store in a few words what the worker is doing, and that it got there just now.

    None leaves the words as they are, and says that they are still so. `device` replaces the
    device's name, once the child knows it. Raises `LeaseLost` where another worker has taken the
    project.
    """
    said = {"doing": doing, "device": device}
    values = {name: words for name, words in said.items() if words is not None}
    if not _update(session, lease, progress_at=now(), **values):
        raise LeaseLost("This worker no longer trains the project; another one does.")


def read_lease(session: Session, *, project_id: int) -> WorkerLease | None:
    """Return the project's lease row as it is now, held or run out."""
    return session.get(WorkerLease, project_id, populate_existing=True)


def _insert_of(session: Session) -> Any:
    return postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert


def _update(session: Session, lease: Lease, **values: Any) -> bool:
    """Change the row if owner and epoch still match; say whether they did."""
    result = session.connection().execute(
        update(WorkerLease)
        .where(
            col(WorkerLease.project_id) == lease.project_id,
            col(WorkerLease.owner) == lease.owner,
            col(WorkerLease.epoch) == lease.epoch,
        )
        .values(**values)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
