"""Memory that was freed, given back to the system at the few points where much of it is."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache, partial


def return_freed_memory() -> None:
    """Give what this process has freed back to the system, where glibc or tcmalloc allocates.

    Either keeps freed blocks for itself, and blocks of other sizes seldom fit into them: after a
    model's weights were laid out anew, or a merged copy of them was dropped, hundreds of MiB would
    stay resident on CPU. It takes milliseconds: call it after such work, not in a loop of steps.
    """
    release = _release()
    if release is not None:
        release()


@cache
def _release() -> Callable[[], object] | None:
    if not sys.platform.startswith("linux"):
        return None
    process = ctypes.CDLL(None)
    # tcmalloc first: where it allocates, glibc is there as well and has nothing to give.
    if hasattr(process, "MallocExtension_ReleaseFreeMemory"):
        return process.MallocExtension_ReleaseFreeMemory
    if hasattr(process, "malloc_trim"):
        return partial(process.malloc_trim, 0)
    return None
