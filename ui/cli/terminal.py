"""What a command writes to a terminal: text of models and people cannot command it.

A file or a pipe gets the text as it is; click takes colours out of it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from storage.printable import printable


class SafeTerminal:
    """A stream to a terminal that shows control characters instead of passing them on."""

    def __init__(self, stream: TextIO, *, progress: bool = False) -> None:
        """Wrap a stream; with `progress` a write may begin with a return, to write a line anew."""
        self._stream = stream
        self._progress = progress

    def write(self, text: str) -> int:
        """Write the text, and say how much of it there was."""
        start = "\r" if self._progress and text.startswith("\r") else ""
        self._stream.write(start + printable(text.removeprefix(start), keep="\n\t"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Leave all else to the stream."""
        return getattr(self._stream, name)


@contextmanager
def safe_terminals() -> Iterator[None]:
    """Guard stdout and stderr, where they are terminals, until the end of the block."""
    before = sys.stdout, sys.stderr
    if sys.stdout.isatty():
        sys.stdout = SafeTerminal(sys.stdout)
    if sys.stderr.isatty():
        sys.stderr = SafeTerminal(sys.stderr, progress=True)
    try:
        yield
    finally:
        guarded = sys.stdout is None
        sys.stdout, sys.stderr = before
        if guarded:
            # A reader that went away (`| head`) is not told more.
            sys.stdout = None
