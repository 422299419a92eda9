"""The worker's children, one after the other: started, watched, ended, and tried again."""

import logging
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from reward.running.kept_lease import KeptLease, first_line
from reward.running.lease import Lease, LeaseLost
from reward.running.parent_watch import ChildExit
from reward.running.progress_folder import PROGRESS, remove_progress
from reward.running.round_jobs import QUEUED, RoundJobs
from reward.running.rounds import fail_worn_out
from reward.training.trainer_process import TrainerProcess, child_environment, describe_exit
from storage.engine import writing
from storage.errors import Unavailable
from storage.settings import Settings

MAX_ATTEMPTS = 3
LOOK_SECONDS = 0.2
GRACE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 300.0
HEALTHY_SECONDS = 600.0


class Ending(StrEnum):
    """Why the parent stopped watching a child."""

    STOPPED = "stopped"
    LEASE_LOST = "lease lost"
    DONE = "done"
    CANNOT_GO_ON = "cannot go on"
    CRASHED = "crashed"


@dataclass
class Children:
    """Run children while the lease is ours; with `jobs`, `launch_command` starts them elsewhere."""

    settings: Settings
    engine: Engine
    log: logging.Logger
    stop: threading.Event
    once: bool
    command: tuple[str, ...]
    restart_seconds: float
    jobs: RoundJobs | None = None

    def work(self, kept: KeptLease) -> bool:
        """Run children; return True when done or told to stop, False when the lease is lost.

        A crashed child is started again after a pause that doubles; the third crash in one step
        of a round marks the round failed, and labeling goes on with the live policy.
        """
        crashes = 0
        while True:
            if self.jobs is not None and not self._wait_for_work(self.jobs, kept):
                return self.stop.is_set()
            started = time.monotonic()
            ending, reason = self._run_child(kept)
            if ending is Ending.LEASE_LOST:
                return False
            if self.stop.is_set() or (ending is Ending.DONE and self.once):
                return True
            if ending is Ending.DONE and self.jobs is not None:
                crashes = 0
                continue
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

    def _wait_for_work(self, jobs: RoundJobs, kept: KeptLease) -> bool:
        """Wait until a job is worth starting; return False when told to stop or without lease."""
        while True:
            try:
                if jobs.is_wanted(kept.lease) or self.once:
                    return True
            except LeaseLost:
                return False
            except DBAPIError as error:
                self.log.info("The database cannot be reached (%s).", first_line(error))
            if not self._pause(kept, self.settings.worker_poll_seconds):
                return False

    def _start_child(self, kept: KeptLease) -> tuple[TrainerProcess, float]:
        """Start a child, or a command that does; return it and the seconds that its end takes."""
        grace = 0.0
        if self.jobs is not None:
            guarded = self.jobs.start(kept.lease)
            command, grace = guarded.guarded(), guarded.longest_end
        else:
            command = [*self.command, "--project", self.settings.project]
            command += ["--owner", kept.lease.owner, "--epoch", str(kept.lease.epoch)]
            command += ["--once"] if self.once else []
        environment = child_environment(self.settings)
        return TrainerProcess(command, environment=environment, log=self.log), grace

    def _run_child(self, kept: KeptLease) -> tuple[Ending, str]:
        """Run one child to its end; return how it ended, and why in one sentence."""
        try:
            if self.jobs is None:
                kept.start_progress()
            else:
                kept.start_progress(QUEUED)
            child, grace = self._start_child(kept)
        except LeaseLost as error:
            return Ending.LEASE_LOST, str(error)
        except OSError as error:
            return Ending.CRASHED, f"The trainer could not be started ({error})."
        ending, reason = Ending.CRASHED, ""
        try:
            while child.poll() is None and not reason:
                if self.stop.wait(LOOK_SECONDS):
                    ending, reason = Ending.STOPPED, "The worker was stopped."
                    grace = max(grace, GRACE_SECONDS)
                elif not kept.keep():
                    ending, reason = Ending.LEASE_LOST, "Another worker may train the project."
                else:
                    reason = self._describe_stall(kept)
        finally:
            code = child.end(grace=grace)
        said = self._end_job(kept, well=code == 0 and not reason)
        if said:
            return Ending.CANNOT_GO_ON, said
        return (ending, reason) if reason else self._read_exit(kept, code, child.last_error)

    def _end_job(self, kept: KeptLease, *, well: bool) -> str:
        """Return why a job on another machine cannot go on, or nothing."""
        try:
            return self.jobs.ended(kept.lease, well=well) if self.jobs is not None else ""
        except (LeaseLost, DBAPIError) as error:
            self.log.info("The job's end could not be read (%s).", first_line(error))
            return ""

    def _read_exit(self, kept: KeptLease, code: int, last_error: str) -> tuple[Ending, str]:
        if code == ChildExit.DONE:
            return Ending.DONE, "It was done."
        if code == ChildExit.LEASE_LOST and not kept.keep(at_once=True):
            return Ending.LEASE_LOST, last_error
        if code == ChildExit.CANNOT_GO_ON:
            return Ending.CANNOT_GO_ON, last_error or "It cannot go on and did not say why."
        detail = f"{describe_exit(code)}, {last_error}" if last_error else describe_exit(code)
        what = "The trainer crashed" if self.jobs is None else "launch_command ended badly"
        return Ending.CRASHED, f"{what} ({detail})."

    def _describe_stall(self, kept: KeptLease) -> str:
        if self.jobs is not None:
            try:
                if reason := self.jobs.follow(kept.lease):
                    return reason
            except (LeaseLost, DBAPIError):
                return ""  # `keep` finds out about either
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
                failed = fail_worn_out(session, lease=lease, tries=MAX_ATTEMPTS, reason=reason)
            if failed is None:
                return False
            if (progress := failed.artefacts.get(PROGRESS)) is not None:
                remove_progress(self.settings.home, progress)
        except (LeaseLost, DBAPIError) as error:
            self.log.info("The round could not be marked failed (%s).", first_line(error))
            return False
        self.log.info("Round %d failed. %s", failed.number, failed.reason)
        return True
