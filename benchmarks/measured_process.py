"""A child process whose time and peak memory are measured, its own children counted in."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Measured:
    """What a command took: wall seconds, peak resident MiB of its process tree, exit code."""

    seconds: float
    peak_mib: float
    code: int


def run_measured(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a command to its end, sampling the memory of its whole tree ten times a second."""
    started = time.monotonic()
    process = subprocess.Popen(list(command), env=dict(environment), stdin=subprocess.DEVNULL)
    peak = [0]
    watch = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watch.start()
    code = process.wait()
    watch.join(timeout=1)
    return Measured(time.monotonic() - started, peak[0] / 2**20, code)


def rankloop(*arguments: str) -> list[str]:
    """Return the command line of `rankloop` in this environment."""
    return [sys.executable, "-m", "ui.cli", *arguments]


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    while process.poll() is None:
        try:
            root = psutil.Process(process.pid)
            tree = [root, *root.children(recursive=True)]
            peak[0] = max(peak[0], sum(_resident(one) for one in tree))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.1)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
