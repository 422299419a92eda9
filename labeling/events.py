"""Write the append-only record of who did what, when."""

from functools import cache
from typing import Any

from sqlalchemy import Insert, insert
from sqlmodel import Session

from storage.clock import now
from storage.core import execute_core, table_of
from storage.tables import Event


def record(
    session: Session,
    *,
    project_id: int | None,
    account_id: int | None,
    kind: str,
    **detail: Any,
) -> None:
    """Add an Event to the caller's transaction: it is stored if and only if the deed is.

    `kind` is `subject.verb` in the past tense (`judgment.stored`); `detail` must be JSON.
    """
    execute_core(
        session,
        _statement(),
        project_id=project_id,
        account_id=account_id,
        kind=kind,
        detail=detail,
        created_at=now(),
    )


@cache
def _statement() -> Insert:
    # Every deed leaves one: the ORM would take five times as long to write it.
    return insert(table_of(Event)).inline()
