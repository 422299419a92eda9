"""When a line of progress is due: at each part of the work, and at least once a minute.

Where several processes train, the one that started them ends them after some minutes without a
line, so a stage must say something more often than that, however long it takes.
"""

import time

LONGEST = 60.0  # seconds without a line


class Pace:
    """Tells when to say how far some work is."""

    def __init__(self, parts: int) -> None:
        """Plan a line for each of so many parts of the work."""
        self.parts = parts
        self._said = time.monotonic()

    def is_due(self, done: int, whole: int) -> bool:
        """Say whether a line is due after `done` of `whole`; where it is, it counts as said."""
        now = time.monotonic()
        at_part = done % max(1, whole // self.parts) == 0 or done == whole
        if not at_part and now - self._said < LONGEST:
            return False
        self._said = now
        return True
