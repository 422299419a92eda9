"""Deliveries that are due: claimed by one deliverer at a time, and settled.

A claim is a lease: whoever is killed while sending lets it expire, and the message is sent again.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select, text, update
from sqlmodel import Session, col

from labeling.labeling_sections import WebhookSettings
from labeling.webhooks.outbox import switch_off
from labeling.webhooks.sending import Answer
from storage.clock import now
from storage.tables import Webhook, WebhookDelivery
from storage.tables.webhooks import PENDING_DELIVERY


@dataclass(frozen=True)
class Claim:
    """A delivery that is this deliverer's alone until its lease ends; `attempt` counts from 1."""

    delivery_id: int
    webhook_id: int
    event_id: int
    kind: str
    attempt: int
    created_at: datetime


def due_webhooks(session: Session, *, due_by: datetime | None = None) -> list[int]:
    """Return the webhooks with a delivery that is due by then (None: now); it takes no lock."""
    due = _due(due_by or now()).with_only_columns(col(WebhookDelivery.webhook_id)).distinct()
    return sorted(session.scalars(due))


def claim(
    session: Session,
    *,
    most: int,
    lease: timedelta,
    due_by: datetime | None = None,
    webhook_id: int | None = None,
    delivery_id: int | None = None,
) -> list[Claim]:
    """Take up to `most` deliveries that are due by `due_by` (None: now), until the lease ends.

    With `webhook_id` only that one's, with `delivery_id` only that one. One statement decides, and
    counts the attempt before it is made, so that a crash is counted. The session must be writing.
    """
    at = now()
    due = _due(due_by or at)
    if webhook_id is not None:
        due = due.where(col(WebhookDelivery.webhook_id) == webhook_id)
    if delivery_id is not None:
        due = due.where(col(WebhookDelivery.id) == delivery_id)
    # Materialised: PostgreSQL might look for the rows, and lock others, once for each it updates.
    chosen = (
        due.order_by(col(WebhookDelivery.due_at), col(WebhookDelivery.id))
        .limit(most)
        .with_for_update(skip_locked=True, of=WebhookDelivery)
        .cte("due")
    )
    taken = session.execute(
        update(WebhookDelivery)
        .where(col(WebhookDelivery.id).in_(select(chosen.c.id)))
        .values(due_at=at + lease, attempts=col(WebhookDelivery.attempts) + 1)
        .returning(
            col(WebhookDelivery.id),
            col(WebhookDelivery.webhook_id),
            col(WebhookDelivery.event_id),
            col(WebhookDelivery.kind),
            col(WebhookDelivery.attempts),
            col(WebhookDelivery.created_at),
        )
        .execution_options(synchronize_session=False)
    )
    return [Claim(*row) for row in taken]


def settle(
    session: Session, *, claim: Claim, answer: Answer, settings: WebhookSettings
) -> WebhookDelivery | None:
    """Store what came of a claim: delivered, to be sent again later, or given up.

    None, and nothing stored, where the lease ended and another has taken it since. A receiver that
    is gone switches its webhook off. The session must be writing.
    """
    # Before its delivery, as whoever removes a webhook does.
    gone = (
        session.get(Webhook, claim.webhook_id, with_for_update=True, populate_existing=True)
        if answer.gone
        else None
    )
    delivery = session.scalars(
        select(WebhookDelivery)
        .where(
            col(WebhookDelivery.id) == claim.delivery_id,
            col(WebhookDelivery.attempts) == claim.attempt,
            _pending(),
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()
    if delivery is None:
        return None
    at = now()
    delivery.last_status, delivery.last_error = answer.status, answer.error
    if answer.accepted:
        delivery.delivered_at = at
    elif answer.gone or at - claim.created_at > timedelta(hours=settings.give_up_after):
        delivery.given_up_at = at
    else:
        asked = min(answer.retry_after, settings.longest_wait)
        wait = max(wait_before(claim.attempt + 1, settings), asked)
        delivery.due_at = at + timedelta(seconds=wait)
    session.add(delivery)
    if gone is not None:
        switch_off(session, webhook=gone, why="The receiver answered 410 Gone.")
    session.flush()
    return delivery


def wait_before(attempt: int, settings: WebhookSettings) -> float:
    """Return the seconds before an attempt (2, 3, …): doubled each time, with jitter.

    Half is fixed and half is drawn ("equal jitter": Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015), so that not all at once meet a receiver that came back.
    """
    # A float holds 2**60, and no setting is as long.
    doubled = settings.first_wait * 2.0 ** min(max(attempt - 2, 0), 60)
    half = min(doubled, settings.longest_wait) / 2
    return half + random.uniform(0, half)


def _due(at: datetime) -> Any:
    return (
        select(col(WebhookDelivery.id).label("id"))
        .join(Webhook, col(Webhook.id) == col(WebhookDelivery.webhook_id))
        .where(_pending(), col(WebhookDelivery.due_at) <= at, col(Webhook.active))
    )


def _pending() -> ColumnElement[bool]:
    return text(PENDING_DELIVERY)  # type: ignore[return-value]
