"""A job on another machine ends itself when its worker keeps the lease no more."""

import os
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from reward.running.lease import Lease, read_lease
from reward.running.parent_watch import ChildExit
from storage.engine import reading
from storage.tables import WorkerLease

LOOKS = 12  # at the lease within its seconds
LONGEST_PAUSE = 10.0  # seconds between two of them


def exit_without_lease(engine: Engine, lease: Lease, seconds: float) -> None:
    """End this process once another worker has the lease, or nobody renewed it for `seconds`.

    By this machine's clock alone: the heartbeat only has to change. What the process could still
    write is refused by then; this ends the time on a GPU that would be spent for nothing.
    """
    threading.Thread(target=_watch, args=(engine, lease, seconds), daemon=True).start()


def _watch(engine: Engine, lease: Lease, seconds: float) -> None:
    seen: datetime | None = None
    at = time.monotonic()
    while time.monotonic() - at < seconds:
        time.sleep(min(seconds / LOOKS, LONGEST_PAUSE))
        try:
            row = _read(engine, lease)
        except DBAPIError:
            continue
        if row is None or (row.owner, row.epoch) != (lease.owner, lease.epoch):
            break
        if row.heartbeat_at != seen:
            seen, at = row.heartbeat_at, time.monotonic()
    with suppress(OSError):
        sys.stderr.write("The worker does not keep its lease any more; this job has ended.\n")
        sys.stderr.flush()
    os._exit(ChildExit.LEASE_LOST)


def _read(engine: Engine, lease: Lease) -> WorkerLease | None:
    with reading(engine) as session:
        return read_lease(session, project_id=lease.project_id)
