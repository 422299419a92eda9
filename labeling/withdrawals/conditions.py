"""What a withdrawal covers, as conditions that a statement can hold."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlmodel import col

from storage.tables import Demonstration, Judgment, Prompt, Task, Withdrawal


@dataclass(frozen=True)
class Coverable:
    """The columns of a row (a judgment, a demonstration) that withdrawals are held against."""

    tables: tuple[type, ...]
    project_id: ColumnElement[int]
    annotator_id: ColumnElement[int]
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


def _not_covered(row: Coverable) -> ColumnElement[bool]:
    annotator, imported = col(Withdrawal.annotator_id), col(Withdrawal.import_id)
    return and_(
        # An index finds the first two kinds; only spans of time are gone through one by one.
        _no_such(row, annotator.is_not(None), annotator == row.annotator_id),
        _no_such(
            row, and_(annotator.is_(None), imported.is_not(None)), imported == row.import_id
        ),
        _no_such(row, and_(annotator.is_(None), imported.is_(None))),
    )


def _no_such(row: Coverable, *kind: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that no withdrawal of the kind (its first condition) covers the row."""
    stands = col(Withdrawal.reverted_at).is_(None)
    # It names no row, so that databases compute it once, not for each.
    none_at_all = ~exists().where(stands, kind[0])
    covered = exists().where(stands, *kind, covers(row)).correlate(*row.tables)
    return or_(none_at_all, ~covered)


def covers(row: Coverable) -> ColumnElement[bool]:
    """Return the condition under which a Withdrawal, whether it holds or not, covers the row."""
    withdrawal = Withdrawal
    return and_(
        col(withdrawal.project_id) == row.project_id,
        _open_or(withdrawal.annotator_id, col(withdrawal.annotator_id) == row.annotator_id),
        _open_or(withdrawal.import_id, col(withdrawal.import_id) == row.import_id),
        _open_or(withdrawal.since, row.created_at >= col(withdrawal.since)),
        _open_or(withdrawal.until, row.created_at < col(withdrawal.until)),
    )


def _open_or(column: Any, condition: Any) -> ColumnElement[bool]:
    return or_(col(column).is_(None), condition)
