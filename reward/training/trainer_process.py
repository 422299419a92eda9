"""The child process that trains: its environment, its output, and its end."""

import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from reward.language_models.models import is_local
from reward.running.parent_watch import PIPE_VARIABLE
from reward.training.allocator import allocator_environment
from storage.settings import Settings

NICENESS = 5


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the child's environment: ours, the settings in force, and the libraries' switches.

    Every setting is passed on, so that what the parent was given as an argument holds too.
    """
    environment = dict(os.environ)
    for name, value in settings.model_dump(mode="json").items():
        variable = f"RANKLOOP_{name.upper()}"
        if value is None:
            environment.pop(variable, None)
        else:
            environment[variable] = value if isinstance(value, str) else json.dumps(value)
    environment |= {
        # Spinning OpenMP threads starve the web server on the same cores, up to 10 times slower.
        "OMP_WAIT_POLICY": "passive",
        "OMP_NUM_THREADS": str(settings.threads or cores()),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    environment |= allocator_environment(environment)
    if is_local(settings.model):
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def describe_exit(code: int) -> str:
    """Say in words how a process with this return code ended."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


class TrainerProcess:
    """Run the child in a session of its own, its lines going to the worker's log."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], log: logging.Logger
    ) -> None:
        """Start the child; it can tell by a pipe when this process dies."""
        self.last_error = ""
        self._in_statement = False
        self._log = log
        read_end, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                list(command),
                env={**environment, PIPE_VARIABLE: str(read_end)},
                pass_fds=(read_end,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                # Ctrl-C in a terminal must reach the parent alone; it then ends the child.
                start_new_session=True,
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(read_end)
        with suppress(OSError):
            os.setpriority(
                os.PRIO_PROCESS,
                self._process.pid,
                os.getpriority(os.PRIO_PROCESS, 0) + NICENESS,
            )
        self._readers = [
            self._start_reader(self._process.stdout, is_error=False),
            self._start_reader(self._process.stderr, is_error=True),
        ]

    @property
    def pid(self) -> int:
        """Return the child's process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the child's exit code, or None while it lives."""
        return self._process.poll()

    def end(self, *, grace: float = 0.0) -> int:
        """End the child and what it started: ask, wait `grace` seconds, then kill; give its code.

        Its last lines are in the log when this returns.
        """
        if self._process.poll() is None and grace > 0:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=grace)
        # Its own children may outlive it in its group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        for reader in self._readers:
            reader.join(timeout=5)
        self._close()
        return code

    def _close(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def _start_reader(self, stream: IO[Any] | None, *, is_error: bool) -> threading.Thread:
        assert stream is not None
        reader = threading.Thread(target=self._read, args=(stream, is_error), daemon=True)
        reader.start()
        return reader

    def _read(self, stream: IO[str], is_error: bool) -> None:
        with stream:
            for line in stream:
                text = line.rstrip()
                if not text:
                    continue
                if is_error:
                    self._note_error(text)
                self._log.info("%s", text)

    def _note_error(self, text: str) -> None:
        """Keep the last line that says why: neither the code nor the SQL that it was raised in."""
        if text.startswith("[SQL"):
            self._in_statement = True
        elif text.startswith(("(Background on this error", "Traceback ")):
            self._in_statement = False
        elif not self._in_statement and not (text[0].isspace() and self.last_error):
            self.last_error = text.strip()


def cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
