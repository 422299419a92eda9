"""The process that stands between a worker and a command that started a job elsewhere.

    python -m reward.running.command_guard '{"command": ["srun", …], "cancel": ["scancel", …]}'

It ends the command, and then calls the cancelling one, when it is told to (SIGTERM) or when its
parent is gone, however that died: the parent alone keeps the other end of a pipe open. So a job
that still waits in a queue does not begin after its worker's death. Its exit code is the command's.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TextIO

from reward.running.parent_watch import PIPE_VARIABLE

LOOK = 0.1  # seconds between two looks at the command
NOT_FOUND = 127  # a shell's code of a program that cannot be started
ENDED = 143  # a shell's code of a command that SIGTERM ended


@dataclass(frozen=True)
class GuardedCommand:
    """What is run, and how it is ended."""

    command: list[str]
    cancel: list[str] | None = None
    grace: float = 10.0  #: seconds from SIGTERM to SIGKILL
    cancel_seconds: float = 60.0  #: that the cancelling command may take

    @property
    def longest_end(self) -> float:
        """Return the seconds that ending it takes at most."""
        return self.grace + (self.cancel_seconds if self.cancel else 0.0) + 5.0

    def guarded(self) -> list[str]:
        """Return the command line of its guard."""
        return [sys.executable, "-m", "reward.running.command_guard", json.dumps(asdict(self))]


def main() -> int:
    """Run the command to its end, or to the parent's; return its exit code."""
    guarded = GuardedCommand(**json.loads(sys.argv[1]))
    unwanted = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: unwanted.set())
    _watch_parent(unwanted)
    try:
        process = subprocess.Popen(
            guarded.command, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        _say(f"The command {guarded.command[0]!r} cannot be started ({error.strerror}).")
        return NOT_FOUND
    while process.poll() is None and not unwanted.wait(LOOK):
        pass
    code = process.poll()
    if code is None:
        _end(process, guarded.grace)
        code = ENDED
    if code != 0 and guarded.cancel:
        _cancel(guarded.cancel, guarded.cancel_seconds)
    return code if code >= 0 else 128 - code


def _watch_parent(unwanted: threading.Event) -> None:
    descriptor = os.environ.pop(PIPE_VARIABLE, None)
    if descriptor is None:
        return

    def watch() -> None:
        while os.read(int(descriptor), 1):
            pass
        unwanted.set()

    os.set_inheritable(int(descriptor), False)
    threading.Thread(target=watch, daemon=True).start()


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Ask the command and what it started to end, then kill its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace)
    process.poll()


def _cancel(command: list[str], seconds: float) -> None:
    """Call the cancelling command, all on stdout: the reason is what stderr ended with before."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stderr=sys.stdout, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _say(f"The job may still run: cancel_command failed ({error}).", sys.stdout)
        return
    if done.returncode != 0:
        said = f"cancel_command ended with exit code {done.returncode}"
        _say(f"The job may still run: {said}.", sys.stdout)


def _say(sentence: str, stream: TextIO = sys.stderr) -> None:
    # The parent, and so the other end of this stream, may be gone.
    with suppress(OSError):
        stream.write(f"{sentence}\n")
        stream.flush()


if __name__ == "__main__":
    sys.exit(main())
