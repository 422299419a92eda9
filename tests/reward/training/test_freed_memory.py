import sys
from pathlib import Path

import pytest
import torch

from reward.training.freed_memory import return_freed_memory

BLOCK = 2**14  # floats: 64 KiB; glibc gives far larger blocks back by itself


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone keeps freed memory")
def test_freed_blocks_leave_the_process() -> None:
    blocks = [torch.ones(BLOCK) for _ in range(4096)]
    # Every other block stays, so that the heap cannot simply shrink from its end.
    kept = blocks[::2]
    full = _resident_mib()
    del blocks
    assert full - _resident_mib() < 10, "glibc keeps them until it is told"
    return_freed_memory()
    assert full - _resident_mib() > 100
    assert sum(float(one[0]) for one in kept) == 2048.0


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    from reward.training import freed_memory

    monkeypatch.setattr(freed_memory, "_release", lambda: None)
    return_freed_memory()
