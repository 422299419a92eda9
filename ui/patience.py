"""Slow down guessing: after some failures for one name, each further one costs a longer wait."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

FREE_FAILURES = 5
LONGEST_WAIT_SECONDS = 60.0
FORGET_SECONDS = 900.0
NAMES_KEPT = 10_000


@dataclass
class _Failures:
    count: int
    last: float


@dataclass
class Patience:
    """Count failed sign-ins by name, in this process."""

    clock: Callable[[], float] = time.monotonic
    _failures: dict[str, _Failures] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def seconds_to_wait(self, name: str) -> float:
        """Return how long `name` has to wait before its next attempt is looked at."""
        with self._lock:
            failures = self._failures.get(name.casefold())
            if failures is None or failures.count < FREE_FAILURES:
                return 0.0
            wait = min(2.0 ** (failures.count - FREE_FAILURES + 1), LONGEST_WAIT_SECONDS)
            return max(0.0, failures.last + wait - self.clock())

    def failed(self, name: str) -> None:
        """Remember one more failure of `name`."""
        with self._lock:
            self._forget_old()
            key = name.casefold()
            before = self._failures.pop(key, _Failures(0, 0.0))
            self._failures[key] = _Failures(before.count + 1, self.clock())

    def succeeded(self, name: str) -> None:
        """Forget the failures of `name`."""
        with self._lock:
            self._failures.pop(name.casefold(), None)

    def _forget_old(self) -> None:
        oldest_kept = self.clock() - FORGET_SECONDS
        # The dictionary is in order of the last failure, so only its head can be old.
        while self._failures:
            key, failures = next(iter(self._failures.items()))
            if failures.last > oldest_kept and len(self._failures) < NAMES_KEPT:
                return
            del self._failures[key]
