"""A request to the API as the functions that answer it see it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeling.keys import key_of
from storage.errors import BadInput
from storage.tables import AccessToken, Account, Project

#: what a column of numbers holds in PostgreSQL
LARGEST_ID = 2**31 - 1


def whole_number(text: str) -> int | None:
    """Return what the text says in at most ten digits; None where it is no such number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None


@dataclass(frozen=True)
class Asked:
    """Who asks, in which project, for what; `folder` is for this answer and goes after it."""

    account: Account
    token: AccessToken
    project: Project
    query: dict[str, str]
    path: dict[str, str]
    body: Any
    file: Path | None
    folder: Path

    @property
    def project_id(self) -> int:
        """Return the project's key."""
        return key_of(self.project)

    def number(self, name: str, default: int, *, least: int = 0, most: int = LARGEST_ID) -> int:
        """Return a whole number of the query; raise `BadInput` where it is none or out of range."""
        found = whole_number(self.query.get(name, str(default)))
        if found is None or not least <= found <= most:
            raise BadInput(f"The parameter {name} is no whole number from {least} to {most}.")
        return found

    def field(self, name: str, kind: type, default: Any = None) -> Any:
        """Return a field of the JSON body; raise `BadInput` where it is of another kind."""
        body = self.body if isinstance(self.body, dict) else {}
        value = body.get(name, default)
        if value is None:
            raise BadInput(f"The field {name} is missing; docs/api.md has an example.")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise BadInput(f"The field {name} is of another kind; docs/api.md has an example.")
        return value

    def refuse_other_fields(self, known: set[str]) -> None:
        """Raise `BadInput` where the JSON body has a field that would be passed over."""
        unknown = sorted(set(self.body if isinstance(self.body, dict) else {}) - known)
        if unknown:
            raise BadInput(f"There is no field {unknown[0]}; there are {', '.join(sorted(known))}.")

    def file_path(self) -> Path:
        """Return the file that was sent."""
        assert self.file is not None
        return self.file
