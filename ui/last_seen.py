"""When a sign-in was used last, written seldom: no page waits for a write at each run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

TOKENS_KEPT = 20_000


@dataclass
class LastSeen:
    """Say for each token whether it is time to write again, in this process."""

    clock: Callable[[], float] = time.monotonic
    _written: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def is_due(self, token: str, *, minutes: float) -> bool:
        """Say whether a token's last use was said longer ago; from then on it was said now."""
        with self._lock:
            last = self._written.get(token)
            if last is not None and self.clock() - last < minutes * 60:
                return False
            self._written.pop(token, None)
            self._written[token] = self.clock()
            if len(self._written) > TOKENS_KEPT:
                # In the order of writing, so the first is the oldest.
                del self._written[next(iter(self._written))]
            return True
