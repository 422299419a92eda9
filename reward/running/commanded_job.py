"""A job that `launch_command` starts, maybe on another machine, watched through its folder."""

import logging
import os
import queue
import subprocess
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reward.running.command_guard import GuardedCommand
from reward.running.job_folder import HeardLines, kept_alive
from reward.running.launcher import ProcessesFailed, read_lines
from reward.running.parent_watch import PIPE_VARIABLE
from reward.training.trainer_process import describe_exit
from storage.errors import Unavailable

log = logging.getLogger(__name__)

LOOK = 0.3  # seconds between two looks at the job's folder
TOLD = 20.0  # seconds between two words about a job that waits in a queue
LAST_WORDS = 0.5  # seconds to wait for what a command that is gone has printed
LAST_LINES = 20  # of stderr that are kept


@dataclass(frozen=True)
class CommandedJob:
    """A job's folder, its command, and how long it may take to begin or be silent."""

    folder: Path
    guarded: GuardedCommand
    alive_seconds: float  #: after which the job ends itself when its worker is gone
    wait_seconds: float  #: from the command's start to the job's first word
    silent_seconds: float  #: without a word from the job after which it counts as hung


def run_commanded(
    job: CommandedJob, *, on_line: Callable[[str], None], on_waiting: Callable[[], None]
) -> None:
    """Run a job to its end.

    `on_line` hears what the job says, `on_waiting` is called now and then until it has said
    something. Whatever ends this call, an exception of theirs included, ends the command, calls
    the cancelling one, and lets the job end itself. Raises `ProcessesFailed` where the command ends
    badly, `Unavailable` where the job does not begin or is silent for too long.
    """
    running = None
    try:
        with kept_alive(job.folder, job.alive_seconds):
            running = _Running(job)
            running.until_ended(on_line, on_waiting)
    finally:
        if running is not None:
            running.end()
    running.raise_if_failed()


class _Running:
    """A command under guard, and what is heard of its job."""

    def __init__(self, job: CommandedJob) -> None:
        self.job = job
        self.heard = HeardLines(job.folder)
        self.errors: deque[str] = deque(maxlen=LAST_LINES)
        self.own_words: queue.Queue[str] = queue.Queue()
        read_end, self._pipe = os.pipe()
        try:
            self.process = subprocess.Popen(
                job.guarded.guarded(),
                env={**os.environ, PIPE_VARIABLE: str(read_end)},
                pass_fds=(read_end,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        finally:
            os.close(read_end)
        # What the command prints is for the log: the job's own words are in the folder.
        self.readers = [
            read_lines(self.process.stdout, self.own_words.put),
            read_lines(self.process.stderr, self._hear_error),
        ]

    def until_ended(self, on_line: Callable[[str], None], on_waiting: Callable[[], None]) -> None:
        """Relay what the job says until its command has ended."""
        began = said = time.monotonic()
        has_begun, told = False, -TOLD
        while True:
            ended = self.process.poll() is not None
            lines = self.heard.new()
            for line in lines:
                on_line(line)
            self._log_own_words()
            if ended:
                return
            moment = time.monotonic()
            if lines:
                has_begun, said = True, moment
            elif not has_begun:
                self._check_begun(moment - began)
                if moment - told >= TOLD:
                    on_waiting()
                    told = moment
            elif moment - said > self.job.silent_seconds:
                raise Unavailable(
                    f"The job said nothing for {self.job.silent_seconds / 60:.3g} minutes and was "
                    "ended; look for a process that hangs."
                )
            time.sleep(LOOK)

    def _check_begun(self, seconds: float) -> None:
        if seconds > self.job.wait_seconds:
            raise Unavailable(
                f"launch_command did not start the job within {self.job.wait_seconds / 60:.3g} "
                "minutes; look at the queue, or raise launch_wait_minutes."
            )

    def end(self) -> None:
        """End the command, if it runs, and cancel its job; its guard does so at the pipe's end."""
        os.close(self._pipe)
        try:
            self.process.wait(timeout=self.job.guarded.longest_end)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, 9)
            self.process.wait()
        for reader in self.readers:
            reader.join(timeout=LAST_WORDS)
        self._log_own_words()

    def raise_if_failed(self) -> None:
        """Raise `ProcessesFailed` naming how the command ended, unless it ended well."""
        code = self.process.returncode
        if code == 0:
            return
        how = describe_exit(code if code <= 128 else 128 - code)
        last = f": {self.errors[-1]}" if self.errors else ""
        raise ProcessesFailed(f"launch_command ended with {how}{last}")

    def _hear_error(self, line: str) -> None:
        if line.strip():
            self.errors.append(line.strip())
            self.own_words.put(line)

    def _log_own_words(self) -> None:
        while not self.own_words.empty():
            log.info("%s", self.own_words.get())
