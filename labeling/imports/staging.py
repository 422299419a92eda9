"""What a file holds, checked and sorted into tasks in a temporary file, before any table is locked.

Annotators go on working while a large file is read; only what fits is then stored, in one go.
"""

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from labeling.imports.bad_rows import BadRows
from labeling.imports.preference_rows.fields import MOST_COMPLETIONS
from labeling.imports.preference_rows.imported import (
    Imported,
    ImportedAnswer,
    ImportedDemonstration,
    ImportedLabel,
    ImportedPrompt,
    ImportedRanking,
)
from labeling.imports.ranking_pieces import (
    from_json,
    in_canonical_order,
    of_labels,
    of_pairs,
    to_json,
)
from labeling.imports.row_shape import Place, RowShape

_TABLES = """
CREATE TABLE piece (seq INTEGER PRIMARY KEY, key TEXT, file INTEGER, number INTEGER, data TEXT);
CREATE TABLE task (number INTEGER PRIMARY KEY, key BLOB UNIQUE);
CREATE TABLE ranking (seq INTEGER PRIMARY KEY, task INTEGER, data TEXT);
CREATE TABLE answer (seq INTEGER PRIMARY KEY, key TEXT, data TEXT);
CREATE TABLE other (seq INTEGER PRIMARY KEY, kind TEXT, data TEXT);
"""
_ADD_RANKING = """
INSERT INTO ranking (task, data) VALUES ((SELECT number FROM task WHERE key = ?), ?)
"""


@dataclass(frozen=True)
class StagedTask:
    """The rankings of one task's completions, in task position order, each of another annotator."""

    rankings: tuple[ImportedRanking, ...]

    @property
    def prompt(self) -> ImportedPrompt:
        """Return the prompt that the completions answer."""
        return self.rankings[0].prompt


class Staging:
    """Holds the parts of a file on disk; `close` (or the end of `with`) deletes them."""

    def __init__(self) -> None:
        """Open an empty one."""
        self._folder = tempfile.TemporaryDirectory(prefix="rankloop-import-")
        self._database = sqlite3.connect(
            Path(self._folder.name) / "staging.db", isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(_TABLES)
        self._database.execute("BEGIN")
        self._files: list[tuple[Path, RowShape, str]] = []
        self.alone = 0  #: labels and rankings with nothing to be compared with
        self.rankings = 0

    def __enter__(self) -> "Staging":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Delete what is on disk."""
        self.close()

    def close(self) -> None:
        """Delete what is on disk."""
        self._database.close()
        self._folder.cleanup()

    def add(self, one: Imported, place: Place) -> None:
        """Take what a row holds."""
        if isinstance(one, ImportedRanking) and not one.judgment:
            self._add_ranking(one)
        elif isinstance(one, ImportedRanking | ImportedLabel):
            self._add_piece(one, place)
        elif isinstance(one, ImportedAnswer):
            self._database.execute(
                "INSERT INTO answer (key, data) VALUES (?, ?)", (one.prompt.sha256, to_json(one))
            )
        else:
            kind = "demonstration" if isinstance(one, ImportedDemonstration) else "prompt"
            self._database.execute(
                "INSERT INTO other (kind, data) VALUES (?, ?)", (kind, to_json(one))
            )

    def put_together(self, bad: BadRows) -> None:
        """Make rankings of the pairs of one judgment, and of labels; call it after the last row."""
        found = self._database.execute(
            "SELECT key, file, number, data FROM piece ORDER BY key, seq"
        )
        # Read whole groups: a group is one judgment's.
        for _, rows in groupby(_fetched(found), key=itemgetter(0)):
            group = list(rows)
            pieces = [from_json(row[3]) for row in group]
            rankings = self._rankings_of(pieces)
            for ranking in rankings:
                if len(ranking.completions) > MOST_COMPLETIONS:
                    path, shape, unit = self._files[group[0][1]]
                    place = Place(path, group[0][2], shape, unit)
                    many = f"{len(ranking.completions)} completions are of one prompt"
                    bad.add(place.bad(f"{many}; a task ranks {MOST_COMPLETIONS} at most"), None)
                else:
                    self._add_ranking(ranking)
        self._database.execute("CREATE INDEX ranking_task ON ranking (task, seq)")

    def _rankings_of(self, pieces: list[Any]) -> list[ImportedRanking]:
        if isinstance(pieces[0], ImportedRanking):
            return of_pairs(pieces)
        ranking = of_labels(pieces)
        self.alone += len(pieces) if ranking is None else 0
        return [] if ranking is None else [ranking]

    def _add_piece(self, one: ImportedRanking | ImportedLabel, place: Place) -> None:
        kept = (place.path, place.shape, place.unit)
        if kept not in self._files:
            self._files.append(kept)
        key = f"{one.prompt.sha256}/{one.judgment or one.annotator.name}"
        self._database.execute(
            "INSERT INTO piece (key, file, number, data) VALUES (?, ?, ?, ?)",
            (key, self._files.index(kept), place.number, to_json(one)),
        )

    def _add_ranking(self, ranking: ImportedRanking) -> None:
        ordered = in_canonical_order(ranking)
        key = _task_key(ordered)
        run = self._database.execute
        run("INSERT OR IGNORE INTO task (key) VALUES (?)", (key,))
        run(_ADD_RANKING, (key, to_json(ordered)))
        self.rankings += 1

    # -- afterwards --------------------------------------------------------------------------------

    def staged_tasks(self) -> Iterator[StagedTask]:
        """Yield the tasks in the file's order; no annotator is twice in one of them."""
        found = self._database.execute("SELECT task, data FROM ranking ORDER BY task, seq")
        for _, rows in groupby(_fetched(found), key=itemgetter(0)):
            yield from _copies([from_json(row[1]) for row in rows])

    def answers(self) -> Iterator[list[ImportedAnswer]]:
        """Yield the completions of each prompt, in the file's order."""
        found = self._database.execute("SELECT key, data FROM answer ORDER BY key, seq")
        for _, rows in groupby(_fetched(found), key=itemgetter(0)):
            yield [from_json(row[1]) for row in rows]

    def others(self, kind: str) -> Iterator[Any]:
        """Yield what is no ranking, in the file's order: `prompt` or `demonstration`."""
        found = self._database.execute(
            "SELECT data FROM other WHERE kind = ? ORDER BY seq", (kind,)
        )
        for (data,) in _fetched(found):
            yield from_json(data)

    def count_of(self, kind: str) -> int:
        """Return how many there are of what is no ranking."""
        statement = "SELECT count(*) FROM other WHERE kind = ?"
        return int(self._database.execute(statement, (kind,)).fetchone()[0])


def _fetched(cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(1000):
        yield from rows


def _task_key(ranking: ImportedRanking) -> bytes:
    parts = [ranking.prompt.sha256, ranking.task]
    parts += [part for one in ranking.completions for part in (one.text, one.model)]
    return hashlib.sha256(msgspec.json.encode(parts)).digest()


def _copies(rankings: Sequence[ImportedRanking]) -> Iterator[StagedTask]:
    """Yield the task; a second ranking of one annotator, or of nobody, is a copy's."""
    first = rankings[0].completions
    copies: list[dict[str, ImportedRanking]] = []
    for ranking in rankings:
        name = f"{ranking.annotator.kind}/{ranking.annotator.name}"
        home = next((copy for copy in copies if name not in copy), None)
        if home is None:
            copies.append(home := {})
        # Texts and models are the same, position by position; ids may be of each row.
        same = ranking.completions is first
        home[name] = ranking if same else replace(ranking, completions=first)
    for copy in copies:
        yield StagedTask(tuple(copy.values()))
