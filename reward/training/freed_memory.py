"""Memory that was freed, given back to the system at the few points where much of it is."""

import ctypes
import sys
from functools import cache
from typing import Any


def return_freed_memory() -> None:
    """Give what this process has freed back to the system, where the C library is glibc.

    glibc keeps freed blocks for itself, and blocks of other sizes seldom fit into them: after a
    model's weights were laid out anew, or a merged copy of them was dropped, hundreds of MiB would
    stay resident on CPU. It takes milliseconds: call it after such work, not in a loop of steps.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
