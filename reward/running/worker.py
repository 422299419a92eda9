"""The worker's parent process: it holds the lease, and keeps a child alive that does the work.

The parent never imports torch, so renewing the lease cannot be held up by training, and a child
that crashes, hangs or runs out of memory takes nothing with it. Launch: `rankloop worker`.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from reward.running.children import Children
from reward.running.kept_lease import KeptLease, first_line
from reward.running.launch_template import check_launcher
from reward.running.lease import Lease, acquire, read_lease
from reward.running.round_jobs import RoundJobs, runs_rounds_by_command
from reward.running.worker_identity import describe, is_surely_dead, new_owner
from reward.running.worker_log import worker_log
from storage.engine import build_engine, reading, writing
from storage.errors import Conflict, NotFound
from storage.settings import Settings
from storage.tables import Project

CHILD = (sys.executable, "-m", "reward.running.work")


def run(
    settings: Settings,
    *,
    once: bool = False,
    child_command: Sequence[str] | None = None,
    restart_seconds: float = 5.0,
) -> int:
    """Train the project until SIGTERM, SIGINT or SIGHUP; return the exit code (0).

    With `once` the child fills the task pool, makes one round if one is due, and this returns.
    `child_command` replaces the start of the child's command line; `restart_seconds` is the first
    pause after a crash, doubled at each further one.
    Raises, with `once` only, `NotFound` without the project, `Conflict` where another worker
    trains it, `Unavailable` where the work cannot be done; always `Unavailable` where the log
    cannot be written, and `BadInput` or `Unavailable` where the setting `launcher` cannot work.
    """
    check_launcher(settings)
    stop = threading.Event()
    engine = build_engine(settings.url)
    try:
        with worker_log(settings) as log, _set_by_signals(stop):
            worker = Worker(
                settings=settings,
                engine=engine,
                log=log,
                stop=stop,
                once=once,
                command=tuple(child_command or CHILD),
                restart_seconds=restart_seconds,
            )
            worker.run()
            if stop.is_set():
                log.info("The worker has stopped.")
    finally:
        engine.dispose()
    return 0


@dataclass
class Worker:
    """Wait for the project, then for its lease, then run children while the lease is ours."""

    settings: Settings
    engine: Engine
    log: logging.Logger
    stop: threading.Event
    once: bool
    command: tuple[str, ...]
    restart_seconds: float
    owner: str = field(default_factory=new_owner)

    def run(self) -> None:
        """Work until stopped, or, with `once`, until one child is done."""
        while (project_id := self._wait_for_project()) is not None:
            kept = self._wait_for_lease(project_id)
            if kept is None:
                return
            try:
                if self._children().work(kept):
                    return
            finally:
                kept.release()
            if self.once:
                raise Conflict("Another worker took the project over; this one has stopped.")
            self.log.info("The lease is lost; waiting for it.")

    def _children(self) -> Children:
        by_command = runs_rounds_by_command(self.settings)
        module = [word for word in self.command[1:] if word != "-m"]
        return Children(
            settings=self.settings,
            engine=self.engine,
            log=self.log,
            stop=self.stop,
            once=self.once,
            command=self.command,
            restart_seconds=self.restart_seconds,
            jobs=RoundJobs(self.settings, self.engine, module) if by_command else None,
        )

    def _wait_for_project(self) -> int | None:
        """Return the project's id, or None when told to stop."""
        name, said = self.settings.project, ""
        while not self.stop.is_set():
            missing = f"There is no project named {name} yet; run `rankloop init` to make it."
            try:
                found = self._find_project()
            except DBAPIError as error:
                found, missing = None, f"The database cannot be reached ({first_line(error)})."
            if found is not None:
                return found
            if self.once:
                raise NotFound(missing)
            if missing != said:
                self.log.info("Waiting. %s", missing)
                said = missing
            self.stop.wait(self.settings.worker_poll_seconds)
        return None

    def _find_project(self) -> int | None:
        if not inspect(self.engine).has_table(str(Project.__tablename__)):
            return None
        with reading(self.engine) as session:
            return session.exec(
                select(Project.id).where(Project.name == self.settings.project)
            ).first()

    def _wait_for_lease(self, project_id: int) -> KeptLease | None:
        """Return the lease, or None when told to stop."""
        said = ""
        while not self.stop.is_set():
            asked = time.monotonic()
            lease = None
            try:
                lease, holder = self._try_lease(project_id)
            except DBAPIError as error:
                holder = f"The database cannot be reached ({first_line(error)})"
            if lease is not None:
                self.log.info("This worker trains project %s now.", self.settings.project)
                return KeptLease(
                    lease=lease,
                    seconds=self.settings.worker_lease_seconds,
                    stall_seconds=self.settings.step_stall_minutes * 60,
                    engine=self.engine,
                    log=self.log,
                    renewed=asked,
                )
            if self.once:
                raise Conflict(f"{holder}; stop it or wait until it has ended.")
            if holder != said:
                self.log.info("Waiting. %s.", holder)
                said = holder
            self.stop.wait(self.settings.worker_poll_seconds)
        return None

    def _try_lease(self, project_id: int) -> tuple[Lease | None, str]:
        """Return the lease, or None and a sentence about who holds it."""
        with writing(self.engine) as session:
            holder = read_lease(session, project_id=project_id)
            lease = acquire(
                session,
                project_id=project_id,
                owner=self.owner,
                seconds=self.settings.worker_lease_seconds,
                host=socket.gethostname(),
                pid=os.getpid(),
                device=self.settings.device,
                dead_owner=holder.owner if holder and is_surely_dead(holder) else None,
            )
        name = describe(holder) if holder else "another process"
        return lease, f"Project {self.settings.project} is trained by {name} already"


@contextmanager
def _set_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on a signal that asks this process to end; only the main thread can listen."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
