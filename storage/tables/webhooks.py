"""Addresses that are told of events, and what became of telling them."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from storage.clock import now
from storage.tables.base import Row, UtcDateTime, json_type, no_items

# The condition of a partial index; a query says it in the same words.
PENDING_DELIVERY = "delivered_at IS NULL AND given_up_at IS NULL"


class Webhook(Row, table=True):
    """An address that gets the project's events of `kinds`, each signed.

    The key of the signature is in the environment variable `secret_env`, never here. Events up to
    `last_event_id` are in its deliveries, and none will come before them any more.
    """

    __tablename__ = "webhook"
    __table_args__ = (UniqueConstraint("project_id", "url"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    url: str = Field(max_length=2000)
    kinds: list[str] = Field(default_factory=no_items, sa_type=json_type())
    secret_env: str = Field(default="", max_length=100)
    active: bool = True
    last_event_id: int = 0
    by_id: int | None = Field(default=None, foreign_key="account.id")
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class WebhookDelivery(Row, table=True):
    """One message for one webhook: sent again, later each time, until it is answered or given up.

    `kind` is the message's: an event may tell of two things. Whoever sends it moves `due_at` to the
    end of their lease first, so that no other sends it meanwhile.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_id", "kind"),
        Index(
            "ix_webhook_delivery_due",
            "due_at",
            sqlite_where=text(PENDING_DELIVERY),
            postgresql_where=text(PENDING_DELIVERY),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    webhook_id: int = Field(foreign_key="webhook.id")
    event_id: int = Field(foreign_key="event.id")
    kind: str = Field(max_length=50)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    attempts: int = 0
    due_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    given_up_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_status: int | None = None
    last_error: str = ""
