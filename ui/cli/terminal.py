"""What a command writes to a terminal: text of models and people cannot command it.

A file or a pipe gets the text as it is; click takes colours out of it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from storage.printable import printable


class ProgressLine:
    """The line of a terminal that is written anew while something goes on.

    stdout and stderr are one terminal: whatever else is written to either ends the line first, so
    that a result does not stand behind "Storing 100%".
    """

    def __init__(self) -> None:
        """Begin without a line."""
        self._stream: TextIO | None = None
        self._width = 0

    def rewrite(self, stream: TextIO, text: str) -> None:
        """Write the line anew; blanks cover what is left of a longer one."""
        before = self._width if self._stream is stream else 0
        stream.write("\r" + text.ljust(before))
        self._stream, self._width = stream, len(text)

    def end(self) -> bool:
        """Go on below the line; say whether there was one."""
        stream, self._stream = self._stream, None
        if stream is None:
            return False
        stream.write("\n")
        stream.flush()
        return True


class SafeTerminal:
    """A stream to a terminal that shows control characters instead of passing them on."""

    def __init__(
        self, stream: TextIO, *, progress: bool = False, line: ProgressLine | None = None
    ) -> None:
        """Wrap a stream; with `progress` a write may begin with a return, to write `line` anew."""
        self._stream = stream
        self._progress = progress
        self._line = line or ProgressLine()

    def write(self, text: str) -> int:
        """Write the text, and say how much of it there was."""
        shown = printable(text, keep="\n\t")
        if self._progress and text.startswith("\r"):
            self._line.rewrite(self._stream, printable(text[1:].removesuffix("\n"), keep="\t"))
            if text.endswith("\n"):
                self._line.end()
        elif shown and not (self._line.end() and shown == "\n"):
            self._stream.write(shown)
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
    line = ProgressLine()
    # A process may be started without them (`>&-`); click then writes nothing.
    if sys.stdout is not None and sys.stdout.isatty():
        sys.stdout = SafeTerminal(sys.stdout, line=line)
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr = SafeTerminal(sys.stderr, progress=True, line=line)
    try:
        yield
    finally:
        line.end()
        guarded = sys.stdout is None
        sys.stdout, sys.stderr = before
        if guarded:
            # A reader that went away (`| head`) is not told more.
            sys.stdout = None
