"""Add, remove, list and test webhooks, and look at what became of their last deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, Label, case, delete, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.webhooks.addresses import checked_url
from labeling.webhooks.delivering import deliver_one
from labeling.webhooks.messages import known_kinds
from labeling.webhooks.outbox import put_in_test
from labeling.webhooks.secret_variables import claim_variable
from labeling.webhooks.sending import Answer
from storage.engine import writing
from storage.errors import Conflict, NotFound
from storage.tables import Account, Event, Project, Webhook, WebhookDelivery
from storage.tables.webhooks import PENDING_DELIVERY


@dataclass(frozen=True)
class WebhookRow:
    """A webhook with how many messages wait, were delivered and were given up."""

    id: int
    url: str
    kinds: tuple[str, ...]
    secret_env: str
    active: bool
    waiting: int
    delivered: int
    given_up: int


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery and what became of it: `state` is waiting, delivered or given up."""

    id: int
    webhook_id: int
    event_id: int
    kind: str
    state: str
    attempts: int
    last_status: int | None
    last_error: str
    created_at: datetime
    next_at: datetime | None


def add_webhook(
    session: Session,
    *,
    project: Project,
    by: Account | None,
    url: str,
    kinds: Sequence[str],
    secret_env: str,
    private: bool,
) -> Webhook:
    """Tell `url` of the project's events of `kinds` from now on.

    The key is in the environment variable `secret_env` of whoever delivers, or in the file that
    `SECRET_ENV_FILE` names. `private` is the server's setting `webhook_private_addresses`. Raises
    `BadInput`, `Conflict` where the address is there already or the variable is another address's,
    `NotAllowed`.
    """
    _may(by, key_of(project))
    url = checked_url(url, private=private).geturl()
    claim_variable(session, variable=secret_env, url=url)
    project_id = key_of(project)
    there = select(Webhook.id).where(Webhook.project_id == project_id, Webhook.url == url)
    if session.exec(there).first() is not None:
        raise _there_already(url)
    webhook = Webhook(
        project_id=project_id,
        url=url,
        kinds=known_kinds(list(kinds)),
        secret_env=secret_env,
        last_event_id=session.exec(select(func.max(Event.id))).one() or 0,
        by_id=by.id if by else None,
    )
    session.add(webhook)
    try:
        session.flush()
    except IntegrityError as error:
        raise _there_already(url) from error
    _record(session, webhook, by, "webhook.added")
    return webhook


def remove_webhook(
    session: Session, *, project: Project, by: Account | None, webhook_id: int
) -> None:
    """Tell a webhook nothing more and forget its deliveries; raise `NotFound`, `NotAllowed`."""
    _may(by, key_of(project))
    webhook = _locked(session, project, webhook_id)
    session.execute(delete(WebhookDelivery).where(col(WebhookDelivery.webhook_id) == webhook_id))
    session.delete(webhook)
    _record(session, webhook, by, "webhook.removed")


def send_test(
    engine: Engine, *, project: Project, by: Account | None, webhook_id: int, private: bool
) -> Answer:
    """Send a webhook the message `webhook.tested` now, as every other is sent; return the answer.

    Where it fails the deliverer tries again. Raises `NotFound`, `NotAllowed`.
    """
    _may(by, key_of(project))
    with writing(engine) as session:
        webhook = _locked(session, project, webhook_id)
        if not webhook.active:
            raise Conflict("This webhook is switched off; remove it and add it again.")
        delivery_id = put_in_test(session, webhook=webhook, by_id=by.id if by else None)
    return deliver_one(engine, delivery_id=delivery_id, private=private)


def webhooks(session: Session, *, project_id: int, account: Account | None) -> list[WebhookRow]:
    """Return the project's webhooks, oldest first; raise `NotAllowed`."""
    _may(account, project_id)
    counts = {
        (webhook_id, state): count
        for webhook_id, state, count in session.exec(
            select(WebhookDelivery.webhook_id, _state(), func.count()).group_by(
                col(WebhookDelivery.webhook_id), "state"
            )
        )
    }
    found = session.exec(
        select(Webhook).where(Webhook.project_id == project_id).order_by(col(Webhook.id))
    )
    return [
        WebhookRow(
            id=key_of(one),
            url=one.url,
            kinds=tuple(one.kinds),
            secret_env=one.secret_env,
            active=one.active,
            waiting=counts.get((key_of(one), "waiting"), 0),
            delivered=counts.get((key_of(one), "delivered"), 0),
            given_up=counts.get((key_of(one), "given up"), 0),
        )
        for one in found
    ]


def last_deliveries(
    session: Session, *, project_id: int, account: Account | None, most: int = 50
) -> list[DeliveryRow]:
    """Return the newest deliveries of the project's webhooks, newest first; raise `NotAllowed`."""
    _may(account, project_id)
    rows = session.exec(
        select(WebhookDelivery, _state())
        .join(Webhook, col(Webhook.id) == col(WebhookDelivery.webhook_id))
        .where(Webhook.project_id == project_id)
        .order_by(col(WebhookDelivery.id).desc())
        .limit(most)
    )
    return [
        DeliveryRow(
            id=key_of(one),
            webhook_id=one.webhook_id,
            event_id=one.event_id,
            kind=one.kind,
            state=state,
            attempts=one.attempts,
            last_status=one.last_status,
            last_error=one.last_error,
            created_at=one.created_at,
            next_at=one.due_at if state == "waiting" else None,
        )
        for one, state in rows
    ]


def _state() -> Label[str]:
    return case(
        (text(PENDING_DELIVERY), "waiting"),
        (col(WebhookDelivery.delivered_at).is_not(None), "delivered"),
        else_="given up",
    ).label("state")


def _there_already(url: str) -> Conflict:
    return Conflict(f"There is a webhook to {url} already; remove it first to change it.")


def _locked(session: Session, project: Project, webhook_id: int) -> Webhook:
    # Before its deliveries, as whoever makes some does: none may be made while it is removed.
    found = session.get(Webhook, webhook_id, with_for_update=True, populate_existing=True)
    if found is None or found.project_id != project.id:
        raise NotFound(
            f"There is no webhook {webhook_id} in this project; see `rankloop webhook list`."
        )
    return found


def _may(account: Account | None, project_id: int) -> None:
    if account is not None:
        require(account, Action.MANAGE_WEBHOOKS, project_id=project_id)


def _record(session: Session, webhook: Webhook, by: Account | None, kind: str) -> None:
    record(
        session,
        project_id=webhook.project_id,
        account_id=by.id if by else None,
        kind=kind,
        webhook_id=webhook.id,
        url=webhook.url,
        kinds=webhook.kinds,
    )
