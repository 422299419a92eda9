"""What used the judgments that a withdrawal takes out: snapshots, rounds, policies and exports."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet
from sqlalchemy import func, select
from sqlmodel import Session, col

from labeling.datasets.eligibility import counted
from labeling.datasets.freezing import DEMONSTRATIONS, ROWS
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.withdrawals.conditions import DEMONSTRATIONS as DEMONSTRATION_COLUMNS
from labeling.withdrawals.conditions import JUDGMENTS, demonstration_not_withdrawn
from labeling.withdrawals.scope import Scope, check_scope
from storage import blobs
from storage.errors import Unavailable
from storage.tables import (
    Account,
    Demonstration,
    Event,
    Judgment,
    Policy,
    Project,
    Prompt,
    Round,
    Snapshot,
    Task,
)

#: Events of exports: of a snapshot, and of the project as it was.
_EXPORTS = ("export.written", "preferences.exported")

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SnapshotUse:
    """A snapshot with some of the judgments or demonstrations; None: its files cannot be read."""

    id: int
    name: str
    judgments: int | None
    demonstrations: int | None


@dataclass(frozen=True)
class RoundUse:
    """A round that trained on such a snapshot."""

    number: int
    state: str
    snapshot_id: int


@dataclass(frozen=True)
class PolicyUse:
    """A policy that such a round made, or (`directly` is false) that grew out of one."""

    version: int
    status: str
    directly: bool


@dataclass(frozen=True)
class ExportUse:
    """An export of such a snapshot, or of the whole project after the first of what is meant."""

    at: datetime
    by: str
    format: str
    snapshot_id: int | None


@dataclass(frozen=True)
class Touched:
    """Say what a withdrawal would take out, and what has used it already.

    `judgments` are those that count now and would no longer; `tasks` are theirs.
    """

    judgments: int
    tasks: int
    annotators: tuple[str, ...]
    demonstrations: int
    snapshots: tuple[SnapshotUse, ...]
    rounds: tuple[RoundUse, ...]
    policies: tuple[PolicyUse, ...]
    exports: tuple[ExportUse, ...]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        found = asdict(self)
        for one in found["exports"]:
            one["at"] = one["at"].isoformat()
        return found


def touched(
    session: Session, *, project: Project, account: Account | None, scope: Scope, home: Path
) -> Touched:
    """Return what withdrawing `scope` touches; nothing is changed.

    Who asks is `account` (None: the person at the server's shell). What has used it is looked up in
    the rows of each snapshot, in the rounds and policies made of it, and in the record of exports.
    Raises `BadInput`, `NotFound`, `NotAllowed`.
    """
    if account is not None:
        require(account, Action.WITHDRAW, project_id=key_of(project))
    project_id = key_of(project)
    scope = check_scope(session, project_id=project_id, scope=scope)
    ids = _judgments(session, project_id, scope)
    demonstrations = _demonstrations(session, project_id, scope)
    taken = _taken_out(session, project_id, scope)
    snapshots = tuple(_snapshots(session, project_id, home, ids, demonstrations))
    rounds = _rounds(session, {one.id for one in snapshots})
    return Touched(
        judgments=sum(row.judgments for row in taken),
        tasks=_tasks_of(session, project_id, scope),
        annotators=tuple(row.name for row in taken),
        demonstrations=_standing_demonstrations(session, project_id, scope),
        snapshots=snapshots,
        rounds=tuple(RoundUse(one.number, one.state.value, one.snapshot_id or 0) for one in rounds),
        policies=tuple(_policies(session, project_id, {key_of(one) for one in rounds})),
        exports=tuple(_exports(session, project_id, {one.id for one in snapshots}, scope)),
    )


def _ids(session: Session, statement: Any) -> Ids:
    return np.fromiter(session.scalars(statement), dtype=np.int64)


def _judgments(session: Session, project_id: int, scope: Scope) -> Ids:
    """Return the judgments that are meant, and those that they corrected: snapshots have them."""
    return _ids(
        session,
        select(col(Judgment.id)).where(
            col(Judgment.project_id) == project_id, scope.holds(JUDGMENTS)
        ),
    )


def _demonstrations(session: Session, project_id: int, scope: Scope) -> Ids:
    return _ids(
        session,
        select(col(Demonstration.id))
        .join(Prompt, col(Prompt.id) == col(Demonstration.prompt_id))
        .where(col(Prompt.project_id) == project_id, scope.holds(DEMONSTRATION_COLUMNS)),
    )


def _standing_demonstrations(session: Session, project_id: int, scope: Scope) -> int:
    return session.execute(
        select(func.count())
        .select_from(Demonstration)
        .join(Prompt, col(Prompt.id) == col(Demonstration.prompt_id))
        .where(
            col(Prompt.project_id) == project_id,
            scope.holds(DEMONSTRATION_COLUMNS),
            demonstration_not_withdrawn(),
        )
    ).scalar_one()


def _of_scope(statement: Any, project_id: int, scope: Scope) -> Any:
    return (
        statement.select_from(Judgment)
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .where(col(Judgment.project_id) == project_id, *counted(), scope.holds(JUDGMENTS))
    )


def _taken_out(session: Session, project_id: int, scope: Scope) -> Any:
    statement = _of_scope(
        select(col(Account.name), func.count().label("judgments")), project_id, scope
    )
    by_name = statement.join(Account, col(Account.id) == col(Judgment.annotator_id))
    return session.execute(by_name.group_by(col(Account.name)).order_by(col(Account.name))).all()


def _tasks_of(session: Session, project_id: int, scope: Scope) -> int:
    tasks = func.count(col(Judgment.task_id).distinct())
    return int(session.execute(_of_scope(select(tasks), project_id, scope)).scalar_one())


def _snapshots(
    session: Session, project_id: int, home: Path, ids: Ids, demonstrations: Ids
) -> Iterable[SnapshotUse]:
    statement = select(Snapshot).where(col(Snapshot.project_id) == project_id)
    for one in session.scalars(statement.order_by(col(Snapshot.id))):
        found = (
            _how_many(home, f"{one.uri}/{ROWS}", "judgment_id", ids),
            _how_many(home, f"{one.uri}/{DEMONSTRATIONS}", "id", demonstrations)
            if one.manifest.get("demonstrations")
            else 0,
        )
        if found != (0, 0):
            yield SnapshotUse(key_of(one), one.name, *found)


def _how_many(home: Path, file: str, column: str, ids: Ids) -> int | None:
    """Count the rows with one of the ids; None where the file cannot be read."""
    folder, _, name = file.rpartition("/")
    if not len(ids):
        return 0
    try:
        path = blobs.local_path(home, folder) / name
        rows = pyarrow.parquet.read_table(path, columns=[column])
    except (OSError, pyarrow.ArrowException, Unavailable):
        return None
    return int(np.isin(rows[column].to_numpy(), ids).sum())


def _rounds(session: Session, snapshots: set[int]) -> list[Round]:
    statement = select(Round).where(col(Round.snapshot_id).in_(snapshots))
    return list(session.scalars(statement.order_by(col(Round.number))))


def _policies(session: Session, project_id: int, rounds: set[int]) -> Iterable[PolicyUse]:
    statement = select(Policy).where(col(Policy.project_id) == project_id)
    reached: set[int | None] = set()
    # A child has a higher version than its parent.
    for one in session.scalars(statement.order_by(col(Policy.version))):
        directly = one.round_id in rounds
        if directly or (one.parent_id is not None and one.parent_id in reached):
            reached.add(one.id)
            yield PolicyUse(one.version, one.status.value, directly)


def _exports(
    session: Session, project_id: int, snapshots: set[int], scope: Scope
) -> Iterable[ExportUse]:
    first = _first_at(session, project_id, scope)
    found = session.execute(
        select(Event, col(Account.name))
        .join(Account, col(Account.id) == col(Event.account_id), isouter=True)
        .where(col(Event.project_id) == project_id, col(Event.kind).in_(_EXPORTS))
        .order_by(col(Event.id))
    )
    for event, name in found:
        of_snapshot = event.detail.get("snapshot_id")
        whole = of_snapshot is None and first is not None and first <= event.created_at
        if whole or of_snapshot in snapshots:
            by = name or "the server's shell"
            yield ExportUse(event.created_at, by, str(event.detail.get("format", "")), of_snapshot)


def _first_at(session: Session, project_id: int, scope: Scope) -> datetime | None:
    """Return when the first of what is meant was judged or written."""
    judged = session.scalar(
        select(func.min(col(Judgment.created_at))).where(
            col(Judgment.project_id) == project_id, scope.holds(JUDGMENTS)
        )
    )
    written = session.scalar(
        select(func.min(col(Demonstration.created_at)))
        .join(Prompt, col(Prompt.id) == col(Demonstration.prompt_id))
        .where(col(Prompt.project_id) == project_id, scope.holds(DEMONSTRATION_COLUMNS))
    )
    return min((at for at in (judged, written) if at is not None), default=None)
