"""The memory allocator of the processes that train: tcmalloc, where the system has it.

glibc cuts freed activations into pieces that the next ones do not fit, so that a training process
stays at its peak's memory and beyond. tcmalloc (the Debian package `libtcmalloc-minimal4`) holds
less and is no slower; docs/training-speed.md has the figures. It has to be there before Python
starts, so that only a process that another one starts can be given it.
"""

import ctypes.util
import sys
from collections.abc import Mapping
from functools import cache

PRELOAD = "LD_PRELOAD"


def allocator_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that give tcmalloc to a process started with `environment`.

    There are none where it is not installed, and where `LD_PRELOAD` is set, even to nothing: what
    runs Rankloop has then chosen.
    """
    library = tcmalloc()
    if library is None or PRELOAD in environment:
        return {}
    # It would print a stack trace for every tensor of a GiB, and the last line is read as the cause
    # where a process ends badly.
    return {PRELOAD: library, "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD": "0"}


@cache
def tcmalloc() -> str | None:
    """Return the name by which the loader finds tcmalloc, or None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    return ctypes.util.find_library("tcmalloc_minimal")
