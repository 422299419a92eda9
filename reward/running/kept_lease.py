"""A lease kept alive by the worker's parent, which watches the child's progress beside it."""

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from reward.running.lease import Lease, read_lease, release, renew, report_progress
from storage.engine import writing

RETRY_SECONDS = 1.0


@dataclass
class KeptLease:
    """Hold a lease with the monotonic times of its last renewal and of the last progress seen.

    Monotonic, because a machine that slept, or whose clock was set, must not look stalled.
    """

    lease: Lease
    seconds: float
    stall_seconds: float
    engine: Engine
    log: logging.Logger
    renewed: float
    _tried: float = 0.0
    _progress_at: datetime | None = None
    _progress_seen: float = field(default_factory=time.monotonic)

    def keep(self, *, at_once: bool = False) -> bool:
        """Renew the lease each sixth of its time; return False once it may be another's.

        While the database cannot be reached the lease is ours until it would have run out.
        """
        asked = time.monotonic()
        age = asked - self.renewed
        if not at_once and (age < self.seconds / 6 or asked - self._tried < self._retry_seconds):
            return age < self.seconds
        self._tried = asked
        try:
            with writing(self.engine) as session:
                kept = renew(session, lease=self.lease, seconds=self.seconds)
                row = read_lease(session, project_id=self.lease.project_id)
        except DBAPIError as error:
            self.log.info("The lease could not be renewed (%s).", first_line(error))
            return age < self.seconds
        self.renewed = asked
        if row is not None and row.progress_at != self._progress_at:
            self._progress_at, self._progress_seen = row.progress_at, asked
        return kept

    def start_progress(self, doing: str = "starting") -> None:
        """Begin to wait for a new child's first sign; raise `LeaseLost` if the lease is lost."""
        self._progress_seen = time.monotonic()
        try:
            with writing(self.engine) as session:
                report_progress(session, lease=self.lease, doing=doing)
        except DBAPIError as error:
            self.log.info("The database cannot be reached (%s).", first_line(error))

    def is_stalled(self) -> bool:
        """Say whether the child has reported no progress for `stall_seconds`."""
        if time.monotonic() - self._progress_seen < self.stall_seconds:
            return False
        self.keep(at_once=True)
        return time.monotonic() - self._progress_seen >= self.stall_seconds

    def release(self) -> None:
        """Give the lease back; one that cannot be given back runs out by itself."""
        try:
            with writing(self.engine) as session:
                release(session, lease=self.lease)
        except DBAPIError as error:
            self.log.info("The lease runs out by itself (%s).", first_line(error))

    @property
    def _retry_seconds(self) -> float:
        return min(RETRY_SECONDS, self.seconds / 6)


def first_line(error: Exception) -> str:
    """Return the first line of what a database driver, or any error, says."""
    cause = getattr(error, "orig", None) or error
    return next(iter(str(cause).strip().splitlines()), type(error).__name__)
