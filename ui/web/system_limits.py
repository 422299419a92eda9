"""What the web server asks of the system: files, few heaps, and to take back what is free there."""

import ctypes
import resource
import time
from contextlib import suppress
from threading import Thread

_M_ARENA_MAX = -8  # of glibc's malloc.h
HEAPS = 2
#: Pages come and go in minutes; a look through all heaps takes milliseconds.
SECONDS_BETWEEN_TRIMS = 60.0


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


def give_back_free_memory() -> bool:
    """Give the system back what is free within the heaps; say whether the C library can.

    By itself glibc gives back the end of a heap alone: a page's sessions, which come and go, leave
    holes before it.
    """
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return False
    return True


def keep_giving_memory_back(*, seconds: float = SECONDS_BETWEEN_TRIMS) -> None:
    """Give free memory back again and again, in a thread that ends with the process."""

    def go_on() -> None:
        while give_back_free_memory():
            time.sleep(seconds)

    Thread(target=go_on, name="free-memory", daemon=True).start()
