"""What the web server asks of the system before it serves: files, and few heaps of memory."""

import ctypes
import resource
from contextlib import suppress

_M_ARENA_MAX = -8  # of glibc's malloc.h
HEAPS = 2


def allow_many_files() -> None:
    """Raise this process's limit of open files to the most that it may have.

    An open page holds four: its websocket, and an event loop that Streamlit makes for it. The usual
    limit of 1024 would end at 250 pages.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # macOS refuses its own "no limit"; what there was stays.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def keep_few_heaps() -> bool:
    """Let all threads share a few heaps of memory; say whether the C library could be told so.

    Each run of a page is a thread of its own, and glibc gives threads up to eight heaps a core:
    what one has freed no other uses. Under one interpreter lock they do not need them.
    """
    try:
        return bool(ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, HEAPS))
    except (OSError, AttributeError):
        return False
