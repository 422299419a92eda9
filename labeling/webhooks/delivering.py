"""The deliverer: a loop of its own that puts events into deliveries and sends what is due.

Run as many as you like: each takes what no other holds. `deliver_forever` is `rankloop webhook
deliver`; `deliver_due` is one turn of it, and `deliver_one` the test button.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from labeling.labeling_sections import WebhookSettings
from labeling.labeling_settings import labeling_settings
from labeling.webhooks.deliveries import Claim, claim, due_webhooks, settle
from labeling.webhooks.messages import body_of, message_id
from labeling.webhooks.outbox import forget, put_in, untold
from labeling.webhooks.sending import Answer, send
from labeling.webhooks.signing import read_secret, signed_headers
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import RankloopError
from storage.tables import Event, Project, Webhook, WebhookDelivery

_SENDERS = 16
#: of one webhook at once: one that does not answer keeps no more of the senders
_OF_ONE = 4
_LOOK_SECONDS = 1.0
_DATABASE_SECONDS = 10.0
#: What a lease lasts beyond the longest timeout: looking up a name has no deadline of its own.
_LEASE = timedelta(seconds=180)
_FORGET_EVERY = 3600.0

Say = Callable[[str], object]


@dataclass(frozen=True)
class _Message:
    """All that sending takes, read before the network is touched."""

    url: str
    secret_env: str
    message_id: str
    body: bytes
    settings: WebhookSettings


def deliver_forever(
    engine: Engine, *, private: bool, stop: threading.Event, say: Say = lambda _: None
) -> None:
    """Deliver what is due until `stop` is set; with `private` also to addresses of the own network.

    Messages that are being sent when it is set are waited for.
    """
    looks = 0
    while not stop.is_set():
        try:
            if looks % int(_FORGET_EVERY / _LOOK_SECONDS) == 0:
                _forget_old(engine)
            looks += 1
            _put_in_all(engine)
            sent = _turn(engine, private, stop, say)
        except OperationalError as error:
            say(f"The database does not answer, trying again: {error.orig}")
            stop.wait(_DATABASE_SECONDS)
            continue
        if not sent:
            stop.wait(_LOOK_SECONDS)


def deliver_due(
    engine: Engine,
    *,
    private: bool,
    stop: threading.Event | None = None,
    say: Say = lambda _: None,
) -> int:
    """Put new events into deliveries, send everything that is due once; return how many.

    What is not begun when `stop` is set stays due.
    """
    _put_in_all(engine)
    # What is to be sent again later is not due by then.
    due_by, sent = now(), 0
    while found := _turn(engine, private, stop or threading.Event(), say, due_by):
        sent += found
    return sent


def _turn(
    engine: Engine, private: bool, stop: threading.Event, say: Say, due_by: datetime | None = None
) -> int:
    """Send what is due of each webhook, until something of it is not taken; return how many.

    So those that answer wait no longer than one timeout for those that do not.
    """
    with reading(engine) as session:
        found = due_webhooks(session, due_by=due_by)
    if not found or stop.is_set():
        return 0
    with (
        ThreadPoolExecutor(_SENDERS, "webhook") as senders,
        ThreadPoolExecutor(min(len(found), _SENDERS)) as lanes,
    ):

        def send_all_of(webhook_id: int) -> int:
            sent = 0
            while not stop.is_set() and (claims := _claims(engine, webhook_id, due_by)):
                answers = list(senders.map(lambda one: _deliver(engine, one, private), claims))
                for one, answer in zip(claims, answers, strict=True):
                    say(_words(one, answer))
                sent += len(claims)
                if not all(answer.accepted for answer in answers):
                    break
            return sent

        return sum(lanes.map(send_all_of, found))


def deliver_one(engine: Engine, *, delivery_id: int, private: bool) -> Answer:
    """Send one delivery now; where another deliverer is just sending it, say so."""
    with writing(engine) as session:
        claims = claim(session, most=1, lease=_LEASE, delivery_id=delivery_id)
    if not claims:
        return Answer(None, "It is being sent by the deliverer that runs; look again in a moment.")
    return _deliver(engine, claims[0], private)


def _put_in_all(engine: Engine) -> None:
    with reading(engine) as session:
        webhooks = session.exec(select(Webhook).where(col(Webhook.active))).all()
        # Looked at first without a lock: nearly always there is nothing new.
        behind = [one.id for one in webhooks if untold(session, webhook=one)]
    for webhook_id in behind:
        while _put_in(engine, webhook_id or 0):
            pass


def _put_in(engine: Engine, webhook_id: int) -> int:
    with writing(engine) as session:
        return put_in(session, webhook_id=webhook_id)


def _claims(engine: Engine, webhook_id: int, due_by: datetime | None) -> list[Claim]:
    with writing(engine) as session:
        return claim(session, most=_OF_ONE, lease=_LEASE, due_by=due_by, webhook_id=webhook_id)


def _deliver(engine: Engine, one: Claim, private: bool) -> Answer:
    with reading(engine) as session:
        message = _message(session, one)
    if message is None:
        return Answer(None, "The webhook was removed.")
    answer = _send(message, private)
    with writing(engine) as session:
        settle(session, claim=one, answer=answer, settings=message.settings)
    return answer


def _message(session: Session, one: Claim) -> _Message | None:
    """Return what is to be sent; None where the webhook was removed since the claim."""
    webhook = session.get(Webhook, one.webhook_id)
    if webhook is None:
        return None
    project = session.get_one(Project, webhook.project_id)
    event = session.get_one(Event, one.event_id)
    return _Message(
        url=webhook.url,
        secret_env=webhook.secret_env,
        message_id=message_id(project, one.event_id, one.kind),
        body=body_of(project, event, one.kind),
        settings=labeling_settings(project).webhooks,
    )


def _send(message: _Message, private: bool) -> Answer:
    try:
        key = read_secret(message.secret_env)
    except RankloopError as error:
        return Answer(None, str(error))
    headers = signed_headers(key, message_id=message.message_id, at=now(), body=message.body)
    return send(
        message.url,
        body=message.body,
        headers=headers,
        timeout=message.settings.timeout,
        private=private,
    )


def _forget_old(engine: Engine) -> None:
    with reading(engine) as session:
        if session.exec(select(WebhookDelivery.id).limit(1)).first() is None:
            return
        projects = session.exec(select(Project)).all()
    longest = max(labeling_settings(one).webhooks.kept_days for one in projects)
    with writing(engine) as session:
        forget(session, before=now() - timedelta(days=longest))


def _words(one: Claim, answer: Answer) -> str:
    came = "delivered" if answer.accepted else f"not delivered ({answer.status or answer.error})"
    return f"webhook {one.webhook_id}: {one.kind} of event {one.event_id} {came}"
