"""What the worker's two processes agree on: exit codes, and that the child dies with its parent.

The parent keeps the write end of a pipe open and never writes to it. However the parent dies, even
by kill -9, the system closes that end and the child reads the end of the file. That works on Linux
and macOS alike, where PR_SET_PDEATHSIG is Linux only. Processes that a launcher starts inherit no
pipe, so they are given the path of a named one (`reward/running/launcher.py`).
"""

import os
import signal
import threading
from enum import IntEnum

PIPE_VARIABLE = "RANKLOOP_PARENT_PIPE"
NAMED_PIPE_VARIABLE = "RANKLOOP_PARENT_NAMED_PIPE"


class ChildExit(IntEnum):
    """How the child ends; any other code, or a signal, is a crash."""

    DONE = 0
    LEASE_LOST = 3
    CANNOT_GO_ON = 4
    """A person must mend something; the last line on stderr is the sentence that says what."""


def exit_when_parent_dies() -> None:
    """End this process and its own children as soon as the parent is gone.

    Call it first of all, before the slow imports. Without a parent's pipe (started by hand) it
    does nothing.
    """
    descriptor = os.environ.pop(PIPE_VARIABLE, None)
    path = os.environ.pop(NAMED_PIPE_VARIABLE, None)
    if descriptor is None and path is not None:
        descriptor = str(_open_named(path))
    if descriptor is None:
        return
    watch = threading.Thread(
        target=_die_at_end_of, args=(int(descriptor),), name="parent-watch", daemon=True
    )
    watch.start()


def _open_named(path: str) -> int:
    # Opened without waiting: where the parent is gone already there is no writer to wait for.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        os._exit(ChildExit.LEASE_LOST)
    os.set_blocking(descriptor, True)
    return descriptor


def _die_at_end_of(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
