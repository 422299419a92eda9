"""What a test of webhooks does: subscribe, let something happen, look at the deliveries."""

import json

from sqlmodel import col, select

from labeling.events import record
from labeling.webhooks.subscriptions import add_webhook
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import Webhook, WebhookDelivery
from tests.labeling.stage import Stage
from tests.labeling.webhooks.receiver import VARIABLES, Receiver


def subscribe(stage: Stage, url: str, *kinds: str) -> int:
    with writing(stage.engine) as session:
        others = select(Webhook.secret_env).where(Webhook.url != url)
        taken = set(session.exec(others))
        webhook = add_webhook(
            session,
            project=stage.project,
            by=None,
            url=url,
            kinds=kinds,
            secret_env=next(one for one in VARIABLES if one not in taken),
            private=True,
        )
    return webhook.id or 0


def happen(stage: Stage, kind: str, **detail: object) -> None:
    with writing(stage.engine) as session:
        record(session, project_id=stage.project_id, account_id=None, kind=kind, **detail)


def deliveries(stage: Stage) -> list[WebhookDelivery]:
    with reading(stage.engine) as session:
        return list(session.exec(select(WebhookDelivery).order_by(col(WebhookDelivery.id))))


def make_due(stage: Stage) -> None:
    with writing(stage.engine) as session:
        for one in session.exec(select(WebhookDelivery)):
            one.due_at = now()


def types(receiver: Receiver) -> list[str]:
    return [json.loads(body)["type"] for _, body in receiver.got]
