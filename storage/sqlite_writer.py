"""Which process writes to a SQLite database now; one that was stopped keeps all others from it.

Asked of the kernel's list of locks, on Linux alone. The file must not be opened for it: closing it
again would take away this process's own locks on it (POSIX advisory locks; SQLite, "How To Corrupt
An SQLite Database File", 2.2).
"""

import os
from dataclasses import dataclass
from pathlib import Path

#: WAL_WRITE_LOCK, a byte of the wal-index: https://sqlite.org/walformat.html#locks
_WRITE_LOCK = 120
_LOCKS = Path("/proc/locks")
_STOPPED = ("T", "t")


@dataclass(frozen=True)
class Writer:
    """Name a process that holds the lock of those who write; whether it was stopped (SIGSTOP)."""

    pid: int
    stopped: bool


def writer_of(database: Path) -> Writer | None:
    """Return who writes to the database in WAL mode; None where nobody does, or it is unknown."""
    try:
        at = database.with_name(f"{database.name}-shm").stat()
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return None
    file = f"{os.major(at.st_dev):02x}:{os.minor(at.st_dev):02x}:{at.st_ino}"
    for line in lines:
        # "1: POSIX  ADVISORY  WRITE 7581 fe:00:2359348 120 120"; one who waits has a "->" first.
        fields = line.split()
        if len(fields) == 8 and fields[3] == "WRITE" and fields[5] == file:
            first, last = int(fields[6]), fields[7]
            if first <= _WRITE_LOCK and (last == "EOF" or int(last) >= _WRITE_LOCK):
                pid = int(fields[4])
                return Writer(pid, _is_stopped(pid))
    return None


def _is_stopped(pid: int) -> bool:
    try:
        # The name before the state stands in brackets, and may hold any character.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in _STOPPED
