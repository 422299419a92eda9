"""What is still to be told: events not yet in a webhook's deliveries, and putting them in.

Events are stored in the transaction of what they tell of. Each webhook's deliveries are made of
them afterwards, so that a submit pays for no webhook; nothing is lost in between, for events stay.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import Row, delete, func, select, text, update
from sqlmodel import Session, col

from labeling.events import record
from labeling.keys import key_of
from labeling.webhooks.messages import TEST, sources, told_by
from storage.clock import now
from storage.tables import Event, Webhook, WebhookDelivery
from storage.tables.webhooks import PENDING_DELIVERY

#: PostgreSQL commits events in another order than it numbers them: so long they are looked through
#: again. A transaction that is open for longer writes its event at its end.
_LATECOMERS = timedelta(minutes=2)
#: Events that are read, and deliveries that are made, at once: annotators' submits to SQLite wait.
_AT_ONCE = 1000


def untold(session: Session, *, webhook: Webhook) -> list[tuple[int, str]]:
    """Return the events (by id, with the kind of message) that the webhook has no delivery of.

    The first of them, where there are many: after those are put in, ask again.
    """
    there = {
        (row.event_id, row.kind)
        for row in session.execute(
            select(col(WebhookDelivery.event_id), col(WebhookDelivery.kind)).where(
                col(WebhookDelivery.webhook_id) == webhook.id,
                col(WebhookDelivery.event_id) > webhook.last_event_id,
            )
        )
    }
    wanted = (
        (event.id, kind)
        for event in _events(session, webhook)
        for kind in told_by(event.kind, event.detail)
        if kind in webhook.kinds and (event.id, kind) not in there
    )
    return list(islice(wanted, _AT_ONCE))


def put_in(session: Session, *, webhook_id: int) -> int:
    """Make the deliveries of the first of a webhook's untold events; return how many.

    None where another deliverer is doing it, or none is left. The session must be writing.
    """
    webhook = session.scalars(
        select(Webhook)
        .where(col(Webhook.id) == webhook_id, col(Webhook.active))
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).first()
    if webhook is None:
        return 0
    found = untold(session, webhook=webhook)
    session.add_all(
        WebhookDelivery(webhook_id=webhook_id, event_id=event_id, kind=kind)
        for event_id, kind in found
    )
    settled = _settled_until(session, webhook)
    if len(found) == _AT_ONCE:
        # There may be more, of the last event too.
        settled = min(settled, found[-1][0] - 1)
    webhook.last_event_id = max(settled, webhook.last_event_id)
    session.add(webhook)
    session.flush()
    return len(found)


def put_in_test(session: Session, *, webhook: Webhook, by_id: int | None) -> int:
    """Make an event that tells nothing, and its delivery; return the delivery's id."""
    event = Event(
        project_id=webhook.project_id,
        account_id=by_id,
        kind=TEST,
        detail={"webhook_id": webhook.id, "text": "This is a test."},
    )
    session.add(event)
    session.flush()
    delivery = WebhookDelivery(webhook_id=key_of(webhook), event_id=key_of(event), kind=TEST)
    session.add(delivery)
    session.flush()
    return key_of(delivery)


def forget(session: Session, *, before: datetime) -> None:
    """Delete what was delivered, or given up, before that time; the events stay."""
    for ended in (WebhookDelivery.delivered_at, WebhookDelivery.given_up_at):
        session.execute(delete(WebhookDelivery).where(col(ended) < before))


def switch_off(session: Session, *, webhook: Webhook, why: str) -> None:
    """Tell a (locked) webhook nothing more, as its receiver asked; what still waits is given up.

    It cannot be switched on again, so nothing would ever be sent of it.
    """
    webhook.active = False
    session.add(webhook)
    session.flush()
    session.execute(
        update(WebhookDelivery)
        .where(col(WebhookDelivery.webhook_id) == webhook.id, text(PENDING_DELIVERY))
        .values(given_up_at=now(), last_error=f"Not sent any more: {why}")
        .execution_options(synchronize_session=False)
    )
    record(
        session,
        project_id=webhook.project_id,
        account_id=None,
        kind="webhook.switched_off",
        webhook_id=webhook.id,
        reason=why,
    )


def _events(session: Session, webhook: Webhook) -> Iterator[Row[int, str, dict[str, object]]]:
    after = webhook.last_event_id
    while True:
        rows = session.execute(
            select(col(Event.id), col(Event.kind), col(Event.detail))
            .where(
                col(Event.project_id) == webhook.project_id,
                col(Event.id) > after,
                col(Event.kind).in_(sorted(sources(webhook.kinds))),
            )
            .order_by(col(Event.id))
            .limit(_AT_ONCE)
        ).all()
        yield from rows
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1].id


def _settled_until(session: Session, webhook: Webhook) -> int:
    """Return the id up to which no event will come any more."""
    newest = select(func.max(col(Event.id)))
    if session.get_bind().dialect.name == "sqlite":
        # One writer at a time, and this is it.
        return session.scalar(newest) or 0
    first_young = session.scalar(
        select(col(Event.id))
        .where(col(Event.id) > webhook.last_event_id, col(Event.created_at) > now() - _LATECOMERS)
        .order_by(col(Event.id))
        .limit(1)
    )
    if first_young is not None:
        # Just before a young one a number may be of a transaction that is still open; what comes
        # before an old one is old itself.
        newest = select(func.max(col(Event.id))).where(col(Event.id) < first_young)
    return session.scalar(newest) or 0
