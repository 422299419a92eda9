"""What rows of a file should look like, and where in the file one that does not is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import BadInput

Row = dict[str, Any]


@dataclass(frozen=True)
class RowShape:
    """Say what is read of a file: its columns, and what the messages about it say."""

    things: str  #: what the rows are, in words
    columns: tuple[str, ...]  #: every column that is read, others are passed over; none: all
    needs: tuple[tuple[str, ...], ...]  #: sets of columns of which a CSV's header must have one
    lists: tuple[str, ...] = ("messages",)  #: columns that a CSV can only hold as JSON text
    ending: str = " Nothing was imported."  #: what every message ends with
    json_if_it_is: tuple[str, ...] = ()  #: columns of a CSV that hold JSON text, or plain text

    @property
    def wanted(self) -> str:
        """Return the columns that a row must have, in words."""
        return ", or ".join(" and ".join(names) for names in self.needs)


_LONGEST = 300


class BadRow(BadInput):
    """Refuse one row: `place` says where it is, `field` which of its fields, `what` why."""

    def __init__(self, place: "Place", what: str, field: str | None) -> None:
        """Put the message together."""
        self.place = place
        self.field = field
        self.what = what
        where = place.words if field is None else f"{place.words}, field {field}"
        super().__init__(f"{where}: {what}.{place.shape.ending}")


@dataclass(frozen=True)
class Place:
    """Name a line (or row) of a file in messages."""

    path: Path
    number: int
    shape: RowShape
    unit: str = "line"

    @property
    def words(self) -> str:
        """Return file and line in words."""
        return f"{self.path}, {self.unit} {self.number}"

    def bad(self, what: str, field: str | None = None) -> BadRow:
        """Return the error that names this line, the field and what is wrong with it."""
        return BadRow(self, _cut(what), None if field is None else _cut(field))


def _cut(words: str) -> str:
    # A value that is quoted may be a whole book; what to use instead stands behind it.
    if len(words) <= _LONGEST:
        return words
    return f"{words[: _LONGEST // 2]} … {words[-_LONGEST // 2 :]}"
