"""A web server may open as many files as it is let, and keeps its memory together."""

import os
import resource
import subprocess
import sys

import pytest

from ui.web.system_limits import (
    HEAPS,
    allow_many_files,
    give_back_free_memory,
    keep_few_heaps,
)

# glibc's own report has a line for each heap.
HEAPS_IN_USE = """
import ctypes, sys, threading
from ui.web.system_limits import keep_few_heaps
if sys.argv[1] == "few":
    assert keep_few_heaps()
together = threading.Barrier(12)
def take():
    together.wait()
    kept = [bytes(900) for _ in range(2000)]
    together.wait()
threads = [threading.Thread(target=take) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ctypes.CDLL("libc.so.6").malloc_stats()
"""

# Every hundredth block stays, so the heap's end is never free.
HOLES = """
import sys, time, psutil
from ui.web.system_limits import keep_giving_memory_back
own = psutil.Process()
blocks = [bytearray(4000) for _ in range(10_000)]
kept = blocks[::100] + blocks[-1:]
held = own.memory_info().rss
del blocks
freed = own.memory_info().rss
keep_giving_memory_back(seconds=0.1)
time.sleep(1)
print((held - freed) >> 20, (held - own.memory_info().rss) >> 20)
"""


def test_a_server_may_open_as_many_files_as_the_system_lets_it() -> None:
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 900), most))
    try:
        allow_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def heaps(how: str) -> int:
    command = [sys.executable, "-c", HEAPS_IN_USE, how]
    # Python's own allocator would serve small objects from pools of its own.
    environment = {**os.environ, "PYTHONMALLOC": "malloc"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return sum(line.startswith("Arena ") for line in done.stderr.splitlines())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_threads_share_a_few_heaps() -> None:
    if not keep_few_heaps():
        pytest.skip("this C library has no mallopt")
    assert heaps("few") <= HEAPS < heaps("as it comes")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_what_is_free_in_a_heap_is_given_back() -> None:
    if not give_back_free_memory():
        pytest.skip("this C library has no malloc_trim")
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    at_once, a_moment_later = map(int, done.stdout.split())
    assert at_once < 10 < 25 < a_moment_later
