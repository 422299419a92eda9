"""Figures of many judgments that grow are measured in a process of their own.

Measuring them again and again within the web server left holes in its memory, and pages waited for
Python's one lock meanwhile. The very first figures, and those after a deed, for which a lead waits,
are measured in the server: that process may not run yet.
"""

import logging
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Event, Lock
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from storage.settings import Settings
from storage.tables import Judgment
from ui import process
from ui.figures.measures import MEASURES

#: fewer judgments are measured in moments, and leave few holes
WORTH_A_PROCESS = 2000
# A million judgments take ten seconds; what takes this long hangs.
_LONGEST_SECONDS = 600.0

_log = logging.getLogger(__name__)


@dataclass
class _Child:
    """The running process, the pipe to it, and the settings that it was given."""

    process: "subprocess.Popen[bytes]"
    pipe: Connection
    settings: Settings


_child: _Child | None = None
_lock = Lock()
_ending = Event()


def measure(name: str, rows: Session, before: object) -> Any:
    """Return the figures of a name; `before` are those before, if only new work came since."""
    if before is not None and _newest(rows) >= WORTH_A_PROCESS:
        found = _asked(name)
        if found is not None:
            return found
    return MEASURES[name](rows)


def end() -> None:
    """End the process, if there is one, whatever it does; it is started again when it is needed."""
    running = _child
    _ending.set()
    if running is not None:
        # Who waits for an answer holds the lock, and waits no longer.
        running.process.kill()
    with _lock:
        _end()
    _ending.clear()


def child_id() -> int | None:
    """Return the id of the running process; None without one."""
    running = _child
    return running.process.pid if running and running.process.poll() is None else None


def _newest(rows: Session) -> int:
    """Return the newest judgment's id: there are not more judgments than that."""
    # By `+ 0` SQLite goes along the ids from their end, not through all of the project's.
    here = col(Judgment.project_id) + 0 == process.project_id()
    newest = select(col(Judgment.id)).where(here).order_by(col(Judgment.id).desc()).limit(1)
    return rows.execute(newest).scalar() or 0


def _asked(name: str) -> Any:
    """Return what the process finds; None where it cannot say, and then the server measures."""
    with _lock:
        # One that has ended, as it does after a while, is noticed at the first word to it.
        for _ in range(2):
            if _ending.is_set():
                break
            try:
                pipe = _started().pipe
                pipe.send(name)
                if pipe.poll(_LONGEST_SECONDS):
                    return pipe.recv()
            except (EOFError, OSError) as error:
                _log.debug("the process that measures has ended: %s", error)
                _end()
                continue
            _log.warning("%s was not measured in %g s; the server tries it", name, _LONGEST_SECONDS)
            _end()
            break
    return None


def _started() -> _Child:
    global _child
    settings = process.settings()
    if _child is not None and _child.settings is not settings:
        _end()
    if _child is None:
        ours, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-m", "ui.figures.measuring", str(theirs.fileno())]
            started = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        _child = _Child(started, ours, settings)
        ours.send(settings)
    return _child


def _end() -> None:
    global _child
    if _child is not None:
        _child.pipe.close()
        _child.process.kill()
        _child.process.wait()
        _child = None
