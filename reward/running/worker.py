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
from enum import StrEnum

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from labeling.rounds import current_round
from reward.running.kept_lease import KeptLease, first_line
from reward.running.launch_template import check_launcher
from reward.running.lease import Lease, LeaseLost, acquire, read_lease
from reward.running.parent_watch import ChildExit
from reward.running.progress_folder import PROGRESS, remove_progress
from reward.running.rounds import advance
from reward.running.worker_identity import describe, is_surely_dead, new_owner
from reward.running.worker_log import worker_log
from reward.training.trainer_process import TrainerProcess, child_environment, describe_exit
from storage.engine import build_engine, reading, writing
from storage.errors import Conflict, NotFound, Unavailable
from storage.settings import Settings
from storage.tables import Project, RoundState

CHILD = (sys.executable, "-m", "reward.running.work")
MAX_ATTEMPTS = 3
LOOK_SECONDS = 0.2
GRACE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 300.0
HEALTHY_SECONDS = 600.0


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


class Ending(StrEnum):
    """Why the parent stopped watching a child."""

    STOPPED = "stopped"
    LEASE_LOST = "lease lost"
    DONE = "done"
    CANNOT_GO_ON = "cannot go on"
    CRASHED = "crashed"


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
                if self._work(kept):
                    return
            finally:
                kept.release()
            if self.once:
                raise Conflict("Another worker took the project over; this one has stopped.")
            self.log.info("The lease is lost; waiting for it.")

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

    def _work(self, kept: KeptLease) -> bool:
        """Run children; return True when done or told to stop, False when the lease is lost.

        A crashed child is started again after a pause that doubles; the third crash in one step
        of a round marks the round failed, and labeling goes on with the live policy.
        """
        crashes = 0
        while True:
            started = time.monotonic()
            ending, reason = self._run_child(kept)
            if ending is Ending.LEASE_LOST:
                return False
            if self.stop.is_set() or (ending is Ending.DONE and self.once):
                return True
            if time.monotonic() - started > HEALTHY_SECONDS:
                crashes = 0
            crashes += 1
            failed = ending is Ending.CRASHED and self._fail_worn_out_round(kept.lease, reason)
            if self.once and (failed or ending is Ending.CANNOT_GO_ON or crashes >= MAX_ATTEMPTS):
                raise Unavailable(reason)
            if failed:
                crashes = 1
            pause = min(self.restart_seconds * 2 ** (crashes - 1), LONGEST_PAUSE_SECONDS)
            self.log.info("The trainer has ended: %s It starts again in %g s.", reason, pause)
            if not self._pause(kept, pause):
                return self.stop.is_set()

    def _run_child(self, kept: KeptLease) -> tuple[Ending, str]:
        """Run one child to its end; return how it ended, and why in one sentence."""
        command = [*self.command, "--project", self.settings.project]
        command += ["--owner", kept.lease.owner, "--epoch", str(kept.lease.epoch)]
        command += ["--once"] if self.once else []
        try:
            kept.start_progress()
            child = TrainerProcess(
                command, environment=child_environment(self.settings), log=self.log
            )
        except LeaseLost as error:
            return Ending.LEASE_LOST, str(error)
        except OSError as error:
            return Ending.CRASHED, f"The trainer could not be started ({error})."
        ending, reason, grace = Ending.CRASHED, "", 0.0
        try:
            while child.poll() is None and not reason:
                if self.stop.wait(LOOK_SECONDS):
                    ending, reason, grace = Ending.STOPPED, "The worker was stopped.", GRACE_SECONDS
                elif not kept.keep():
                    ending, reason = Ending.LEASE_LOST, "Another worker may train the project."
                else:
                    reason = self._describe_stall(kept)
        finally:
            code = child.end(grace=grace)
        return (ending, reason) if reason else self._read_exit(kept, code, child.last_error)

    def _read_exit(self, kept: KeptLease, code: int, last_error: str) -> tuple[Ending, str]:
        if code == ChildExit.DONE:
            return Ending.DONE, "It was done."
        if code == ChildExit.LEASE_LOST and not kept.keep(at_once=True):
            return Ending.LEASE_LOST, last_error
        if code == ChildExit.CANNOT_GO_ON:
            return Ending.CANNOT_GO_ON, last_error or "It cannot go on and did not say why."
        detail = f"{describe_exit(code)}, {last_error}" if last_error else describe_exit(code)
        return Ending.CRASHED, f"The trainer crashed ({detail})."

    def _describe_stall(self, kept: KeptLease) -> str:
        if not kept.is_stalled():
            return ""
        minutes = self.settings.step_stall_minutes
        return f"The trainer made no progress for {minutes:g} minutes and was ended."

    def _pause(self, kept: KeptLease, seconds: float) -> bool:
        """Wait with the lease kept; return False when told to stop or when the lease is lost."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.stop.wait(min(left, LOOK_SECONDS)) or not kept.keep():
                return False
        return True

    def _fail_worn_out_round(self, lease: Lease, reason: str) -> bool:
        """Mark the round failed if its step was tried often enough; say whether it was."""
        try:
            with writing(self.engine) as session:
                running = current_round(session, project_id=lease.project_id)
                if running is None or running.attempts < MAX_ATTEMPTS:
                    return False
                text = f"Step {running.state} failed {running.attempts} times. {reason}"
                advance(
                    session,
                    lease=lease,
                    round_id=running.id or 0,
                    to=RoundState.FAILED,
                    reason=text,
                )
                progress = running.artefacts.get(PROGRESS)
            if progress is not None:
                remove_progress(self.settings.home, progress)
        except (LeaseLost, DBAPIError) as error:
            self.log.info("The round could not be marked failed (%s).", first_line(error))
            return False
        self.log.info("Round %d failed. %s", running.number, text)
        return True


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
