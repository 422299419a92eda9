"""A web server may open as many files as it is let, and keeps its memory together."""

import os
import resource
import subprocess
import sys

import pytest

from ui.system_limits import HEAPS, allow_many_files, keep_few_heaps

# glibc's own report has a line for each heap.
HEAPS_IN_USE = """
import ctypes, sys, threading
from ui.system_limits import keep_few_heaps
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
