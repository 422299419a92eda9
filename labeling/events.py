"""Write the append-only record of who did what, when."""

from typing import Any

from sqlmodel import Session

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
    session.add(Event(project_id=project_id, account_id=account_id, kind=kind, detail=detail))
