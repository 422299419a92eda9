"""Shift the clock of a process by the seconds in a file, which may change while it runs.

Python imports this before all else where its folder is on PYTHONPATH; only the fault suite puts it
there. Monotonic clocks stay, as they do when an administrator sets a machine's clock.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

OFFSET = Path(os.environ["FAULTS_CLOCK_OFFSET"])
_real_time = time.time


def _offset() -> float:
    try:
        return float(OFFSET.read_text())
    except (OSError, ValueError):
        return 0.0


def _shifted_now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=_offset())


time.time = lambda: _real_time() + _offset()

from storage import clock  # noqa: E402

clock.now = _shifted_now
