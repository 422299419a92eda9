"""The record of events, read: the newest, and those that come after."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from labeling.webhooks.messages import told_by
from storage.clock import now
from storage.tables import Account, Event

#: PostgreSQL commits events in another order than it numbers them: so long one is waited for.
_LATECOMERS = timedelta(minutes=2)


class EventLog:
    """Read a project's events once each, also those that commit after later ones.

    A row has id, at (ISO 8601), kind, account (name or None), detail, and tells: the messages of
    webhooks that it is.
    """

    def __init__(self, *, project_id: int, kinds: Sequence[str] = ()) -> None:
        """Read all kinds, or those that are named."""
        self._project_id, self._kinds = project_id, tuple(kinds)
        self._from, self._seen = 0, set[int]()
        self.is_new = True

    def newest(self, session: Session, *, most: int) -> list[dict[str, Any]]:
        """Return the newest events, oldest first; `following` goes on from here."""
        statement = self._statement().order_by(col(Event.id).desc())
        rows = session.execute(statement.limit(max(most, 1))).all()
        self.is_new = False
        found = [self._row(row) for row in reversed(rows)]
        self._from = found[0]["id"] - 1 if found else 0
        self._move_on(found)
        return found[-most:] if most else []

    def following(self, session: Session) -> list[dict[str, Any]]:
        """Return the events that were not returned yet, oldest first."""
        statement = self._statement().where(col(Event.id) > self._from).order_by(col(Event.id))
        rows = session.execute(statement).all()
        found = [self._row(row) for row in rows if row[0].id not in self._seen]
        self._move_on(found)
        return found

    def _statement(self) -> Any:
        found = select(Event, col(Account.name))
        statement = found.join(
            Account, col(Account.id) == col(Event.account_id), isouter=True
        ).where(col(Event.project_id) == self._project_id)
        return statement.where(col(Event.kind).in_(self._kinds)) if self._kinds else statement

    def _move_on(self, found: list[dict[str, Any]]) -> None:
        self._seen |= {row["id"] for row in found}
        settled = [row["id"] for row in found if row["at"] < (now() - _LATECOMERS).isoformat()]
        self._from = max([self._from, *settled])
        self._seen = {number for number in self._seen if number > self._from}

    def _row(self, row: Any) -> dict[str, Any]:
        event, name = row
        return {
            "id": event.id,
            "at": event.created_at.isoformat(),
            "kind": event.kind,
            "account": name,
            "detail": event.detail,
            "tells": list(told_by(event.kind, event.detail)),
        }
