"""What a withdrawal covers, as conditions that a statement can hold."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlmodel import Session, col

from storage.tables import Demonstration, Judgment, Prompt, Task, Withdrawal


@dataclass(frozen=True)
class Coverable:
    """The columns of a row (a judgment, a demonstration) that withdrawals are held against."""

    tables: tuple[type, ...]
    project_id: Any
    annotator_id: Any
    import_id: Any
    created_at: Any


# A statement may not join Task, or under another name: so the import is looked up by the task's id.
_IMPORT_OF_JUDGMENT = (
    select(col(Task.import_id))
    .where(col(Task.id) == col(Judgment.task_id))
    .correlate(Judgment)
    .scalar_subquery()
)

JUDGMENTS = Coverable(
    (Judgment,),
    col(Judgment.project_id),
    col(Judgment.annotator_id),
    _IMPORT_OF_JUDGMENT,
    col(Judgment.created_at),
)
DEMONSTRATIONS = Coverable(
    (Demonstration, Prompt),
    col(Prompt.project_id),
    col(Demonstration.annotator_id),
    col(Demonstration.import_id),
    col(Demonstration.created_at),
)


def not_withdrawn() -> ColumnElement[bool]:
    """Return the condition under which no withdrawal that holds covers a Judgment.

    Where nothing is withdrawn it costs three looks into an empty table, however many judgments
    there are.
    """
    return _not_covered(JUDGMENTS)


def demonstration_not_withdrawn() -> ColumnElement[bool]:
    """Return the condition under which no withdrawal that holds covers a Demonstration.

    The statement joins Demonstration with its Prompt.
    """
    return _not_covered(DEMONSTRATIONS)


def withdrawn_at(session: Session, *, project_id: int, annotator_id: int, at: datetime) -> bool:
    """Say whether a withdrawal that holds covers what an annotator judges at this time."""
    covering = select(col(Withdrawal.id)).where(
        col(Withdrawal.project_id) == project_id,
        col(Withdrawal.reverted_at).is_(None),
        col(Withdrawal.import_id).is_(None),
        or_(col(Withdrawal.annotator_id).is_(None), col(Withdrawal.annotator_id) == annotator_id),
        or_(col(Withdrawal.since).is_(None), col(Withdrawal.since) <= at),
        or_(col(Withdrawal.until).is_(None), col(Withdrawal.until) > at),
    )
    return session.scalar(covering.limit(1)) is not None


def _not_covered(row: Coverable) -> ColumnElement[bool]:
    annotator, imported = col(Withdrawal.annotator_id), col(Withdrawal.import_id)
    # An index finds the first two kinds; only bare spans of time are gone through one by one.
    of_annotator = _no_such(
        row,
        annotator.is_not(None),
        annotator == row.annotator_id,
        or_(imported.is_(None), imported == row.import_id),
    )
    of_import = _no_such(
        row, and_(annotator.is_(None), imported.is_not(None)), imported == row.import_id
    )
    of_time = _no_such(row, and_(annotator.is_(None), imported.is_(None)))
    return and_(of_annotator, of_import, of_time)


def _no_such(
    row: Coverable, kind: ColumnElement[bool], *same: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Return the condition that no withdrawal of the kind that holds covers the row."""
    stands = col(Withdrawal.reverted_at).is_(None)
    # It names no row, so that databases compute it once, not for each.
    none_at_all = ~exists().where(stands, kind)
    covering = exists().where(
        col(Withdrawal.project_id) == row.project_id,
        *(stands, kind, *same),
        or_(col(Withdrawal.since).is_(None), row.created_at >= col(Withdrawal.since)),
        or_(col(Withdrawal.until).is_(None), row.created_at < col(Withdrawal.until)),
    )
    return or_(none_at_all, ~covering.correlate(*row.tables))
