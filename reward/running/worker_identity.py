"""The name a worker holds its lease under, and whether the holder of a lease is surely dead."""

import hashlib
import os
import socket
import uuid
from pathlib import Path

import psutil

from storage.tables import WorkerLease


def new_owner() -> str:
    """Return a name that no other worker has or had: host, process id, machine, random part."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{_machine()}:{uuid.uuid4().hex[:8]}"


def is_surely_dead(holder: WorkerLease) -> bool:
    """Say whether the holder ran on this machine, in its present boot, and is gone.

    Only a process id of this very process table can be looked up. When in doubt the answer is no,
    and the lease has to run out.
    """
    parts = holder.owner.rsplit(":", maxsplit=3)
    return len(parts) == 4 and parts[2] == _machine() and not _runs(holder.pid)


def describe(holder: WorkerLease) -> str:
    """Name a lease's holder for people."""
    return f"process {holder.pid} on {holder.host or 'an unnamed host'}"


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _machine() -> str:
    """Return a name for this process table: the boot and, in containers, the PID namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    if boot.exists() and namespace.exists():
        identity = f"{boot.read_text().strip()} {namespace.stat().st_ino}"
    else:
        identity = f"{uuid.getnode()} {psutil.boot_time():.0f}"
    return hashlib.sha256(identity.encode()).hexdigest()[:8]
