"""The record of events for other programs: those after an id, some at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlmodel import Session, col, select

from labeling.permissions import Action, require
from labeling.webhooks.messages import told_by
from storage.clock import now
from storage.tables import Account, Event

#: PostgreSQL commits events in another order than it numbers them: so long one is waited for.
_LATECOMERS = timedelta(minutes=2)


@dataclass(frozen=True)
class EventPage:
    """Some events, oldest first, and the id to ask from next."""

    events: list[dict[str, Any]]
    next: int


def events_since(
    session: Session,
    *,
    project_id: int,
    account: Account | None,
    since: int,
    most: int,
    kinds: Sequence[str] = (),
) -> EventPage:
    """Return the project's events whose id is above `since`, `most` of them at the most.

    `next` never passes an event that may still be stored, so what is younger than two minutes comes
    again: a reader keeps the ids that it has seen. Raises `NotAllowed` unless `account` (None: the
    server's shell) may be told of events, as webhooks are.
    """
    if account is not None:
        require(account, Action.MANAGE_WEBHOOKS, project_id=project_id)
    statement = (
        select(Event, Account.name)
        .join(Account, col(Account.id) == col(Event.account_id), isouter=True)
        .where(Event.project_id == project_id, col(Event.id) > since)
        .order_by(col(Event.id))
        .limit(most)
    )
    if kinds:
        statement = statement.where(col(Event.kind).in_(kinds))
    found: list[dict[str, Any]] = [
        {
            "id": event.id,
            "at": event.created_at.isoformat(),
            "kind": event.kind,
            "account": name,
            "detail": event.detail,
            "tells": list(told_by(event.kind, event.detail)),
        }
        for event, name in session.exec(statement)
    ]
    settled = (now() - _LATECOMERS).isoformat()
    return EventPage(found, max([since, *(row["id"] for row in found if row["at"] < settled)]))
