"""What a lead wants to take out: an annotator's, an import's or a span of time's, or a meeting."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, select
from sqlmodel import Session, col

from labeling.withdrawals.conditions import Coverable
from storage.errors import BadInput, NotFound
from storage.tables import Account, Demonstration, Import, Judgment, Prompt, Withdrawal


@dataclass(frozen=True)
class Scope:
    """Say which judgments are meant: those that fit every part that is given.

    `since` is included, `until` is not; both are aware datetimes.
    """

    annotator_id: int | None = None
    import_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, withdrawal: Withdrawal) -> "Scope":
        """Return what a withdrawal took out."""
        return cls(
            withdrawal.annotator_id, withdrawal.import_id, withdrawal.since, withdrawal.until
        )

    def holds(self, row: Coverable) -> ColumnElement[bool]:
        """Return the condition that a row of the scope's project is meant."""
        wanted: list[Any] = []
        if self.annotator_id is not None:
            wanted.append(row.annotator_id == self.annotator_id)
        if self.import_id is not None:
            wanted.append(row.import_id == self.import_id)
        if self.since is not None:
            wanted.append(row.created_at >= self.since)
        if self.until is not None:
            wanted.append(row.created_at < self.until)
        return and_(*wanted)


def check_scope(session: Session, *, project_id: int, scope: Scope) -> Scope:
    """Return the scope; raise where it is everything, of another project, or of no time."""
    if scope == Scope():
        raise BadInput("Say what is withdrawn: an annotator, an import, or a span of time.")
    for value in (scope.since, scope.until):
        if value is not None and value.tzinfo is None:
            raise BadInput(f"The time {value} has no time zone; write it with one, as in {value}Z.")
    if scope.since is not None and scope.until is not None and scope.since >= scope.until:
        raise BadInput(
            f"The span from {scope.since:%Y-%m-%d %H:%M} to {scope.until:%Y-%m-%d %H:%M} holds no "
            "time; its end must come after its start."
        )
    if scope.annotator_id is not None and session.get(Account, scope.annotator_id) is None:
        raise NotFound(f"There is no account {scope.annotator_id}; see `rankloop stats`.")
    if scope.import_id is not None:
        found = session.get(Import, scope.import_id)
        if found is None or found.project_id != project_id:
            raise NotFound(f"There is no import {scope.import_id} in this project.")
    return scope


@dataclass(frozen=True)
class Choices:
    """What there is to withdraw: annotators and imports, by id, with their names."""

    annotators: dict[int, str]
    imports: dict[int, str]


def choices(session: Session, *, project_id: int) -> Choices:
    """Return who has judged or written in the project, by name, and its imports, newest first."""
    judged = exists().where(
        col(Judgment.annotator_id) == Account.id, col(Judgment.project_id) == project_id
    )
    wrote = exists().where(
        col(Demonstration.annotator_id) == Account.id,
        col(Demonstration.prompt_id) == Prompt.id,
        col(Prompt.project_id) == project_id,
    )
    annotators = session.execute(
        select(col(Account.id), col(Account.name)).where(judged | wrote).order_by(col(Account.name))
    )
    imports = session.execute(
        select(col(Import.id), col(Import.file_name))
        .where(col(Import.project_id) == project_id)
        .order_by(col(Import.id).desc())
    )
    return Choices({row[0]: row[1] for row in annotators}, {row[0]: row[1] for row in imports})
