"""Prompts of a file, checked and each once, on disk until they are stored."""

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from labeling.imports.prompt_files import NewPrompt

_TABLE = "CREATE TABLE prompt (seq INTEGER PRIMARY KEY, digest TEXT UNIQUE, data BLOB)"
_ADD = "INSERT OR IGNORE INTO prompt (digest, data) VALUES (?, ?)"
_AT_ONCE = 1000


class StagedPrompts:
    """Holds the prompts of the file called `name`; the end of `with` deletes what is on disk."""

    def __init__(self, name: str) -> None:
        """Open an empty one."""
        self.name = name
        self.total = 0  #: prompts that were added, those that were there already too
        self._folder = tempfile.TemporaryDirectory(prefix="rankloop-import-")
        self._database = sqlite3.connect(
            Path(self._folder.name) / "prompts.db", isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(_TABLE)
        self._database.execute("BEGIN")

    def __enter__(self) -> "StagedPrompts":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete what is on disk."""
        self._database.close()
        self._folder.cleanup()

    def __len__(self) -> int:
        """Return how many different prompts there are."""
        return int(self._database.execute("SELECT count(*) FROM prompt").fetchone()[0])

    def __iter__(self) -> Iterator[tuple[str, NewPrompt]]:
        """Yield each prompt with its hash, in the file's order; the first of equal ones."""
        found = self._database.execute("SELECT digest, data FROM prompt ORDER BY seq")
        while rows := found.fetchmany(_AT_ONCE):
            for digest, data in rows:
                yield digest, msgspec.msgpack.decode(data, type=NewPrompt)

    def add(self, digest: str, prompt: NewPrompt) -> None:
        """Take a prompt, unless one of the same hash is there."""
        self._database.execute(_ADD, (digest, msgspec.msgpack.encode(prompt)))
        self.total += 1
