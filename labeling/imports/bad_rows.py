"""What becomes of rows that do not fit: the first ends the import, or they are set aside."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from labeling.imports.row_shape import BadRow
from storage.errors import Conflict, Unavailable

FIRST_TOLD = 10  # messages that are kept to be told; all rows are in the file


class BadRows:
    """Collects bad rows: `strict` raises the first; with a file, each is written to it."""

    def __init__(self, *, file: Path | None = None, strict: bool = True) -> None:
        """Take the file to write; raise `Conflict` where it is there already."""
        if file is not None and file.exists():
            raise Conflict(f"{file} is there already; name a new file for the bad rows.")
        self.file = file
        self.strict = strict and file is None
        self.count = 0
        self.first: list[str] = []
        self._part: Path | None = None
        self._out: IO[str] | None = None

    def add(self, error: BadRow, row: Mapping[str, Any] | None) -> None:
        """Take a bad row with what it holds (None where that could not be read)."""
        if self.strict:
            raise error
        self.count += 1
        if len(self.first) < FIRST_TOLD:
            self.first.append(str(error).removesuffix(error.place.shape.ending))
        if self.file is not None:
            self._write(error, row)

    def _write(self, error: BadRow, row: Mapping[str, Any] | None) -> None:
        line = {
            "file": error.place.path.name,
            error.place.unit: error.place.number,
            "field": error.field,
            "reason": error.what,
            "row": row,
        }
        try:
            if self._out is None:
                assert self.file is not None
                self._part = self.file.with_name(f".{self.file.name}.{uuid4().hex}.part")
                self._out = self._part.open("w", encoding="utf-8", errors="replace")
            self._out.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        except OSError as problem:
            raise self._cannot(problem) from problem

    def keep(self) -> None:
        """Put the file in its place, whole; where no row was bad there is none."""
        if self._out is None or self._part is None or self.file is None:
            return
        try:
            self._out.close()
            os.replace(self._part, self.file)
        except OSError as problem:
            raise self._cannot(problem) from problem
        self._out = None

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._out is not None and self._part is not None:
            self._out.close()
            self._part.unlink(missing_ok=True)
            self._out = None

    def _cannot(self, problem: OSError) -> Unavailable:
        return Unavailable(
            f"{self.file} cannot be written ({problem.strerror}); name a file that you can write."
        )
