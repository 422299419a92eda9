"""`rankloop webhook` and `rankloop events`: what happens, told to other programs and to people."""

import json
import signal
import threading
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from storage.plurals import counted, form
from storage.printable import printable
from ui.cli.frame import DONE, FAILED, Command, Group, Options, pass_options, project_of

_ADD = (
    "rankloop webhook add https://example.org/hook --event task.completed --secret-env HOOK_SECRET"
)


@click.group(cls=Group, example=_ADD)
def webhook() -> None:
    """Tell other programs of events, signed; docs/webhooks.md has a receiver."""


@webhook.command("add", example=_ADD)
@click.argument("url")
@click.option("--event", "kinds", multiple=True, required=True, metavar="KIND",
              help="What it is told; repeatable. `rankloop webhook kinds` lists them.")  # fmt: skip
@click.option("--secret-env", required=True, metavar="NAME",
              help="Environment variable of the secret, HOOK_… or WEBHOOK_…; or NAME_FILE, of "
              "its file.")  # fmt: skip
@pass_options
def add(options: Options, url: str, kinds: tuple[str, ...], secret_env: str) -> None:
    """Tell URL of the project's events from now on."""
    from labeling.webhooks.signing import read_secret
    from labeling.webhooks.subscriptions import add_webhook
    from storage.engine import writing
    from storage.errors import RankloopError
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        done = add_webhook(
            session,
            project=project_of(session, settings),
            by=None,
            url=url,
            kinds=kinds,
            secret_env=secret_env,
            private=settings.webhook_private_addresses,
        )
    click.echo(f"Webhook {done.id} is told of {', '.join(done.kinds)}.")
    try:
        read_secret(secret_env)
    except RankloopError as error:
        click.echo(f"Here its secret cannot be read yet. {error}", err=True)


@webhook.command("kinds", example="rankloop webhook kinds")
def kinds() -> None:
    """List what a webhook may be told."""
    from labeling.webhooks.messages import KINDS

    for kind, words in KINDS.items():
        click.echo(f"{kind:<22} {words}")


@webhook.command("list", example="rankloop webhook list --json")
@click.option("--deliveries", type=click.IntRange(0), default=0, metavar="N",
              help="Also the last N deliveries.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@pass_options
def list_(options: Options, deliveries: int, as_json: bool) -> None:
    """List the webhooks, and how their deliveries went."""
    from labeling.webhooks.subscriptions import last_deliveries, webhooks
    from storage.engine import reading
    from ui.database import open_database

    settings = options.settings()
    with reading(open_database(settings)) as session:
        project_id = project_of(session, settings).id or 0
        rows = webhooks(session, project_id=project_id, account=None)
        last = last_deliveries(session, project_id=project_id, account=None, most=deliveries)
    if as_json:
        found = {"webhooks": list(map(asdict, rows)), "deliveries": list(map(asdict, last))}
        click.echo(json.dumps(found, indent=2, default=datetime.isoformat))
        return
    for row in rows:
        state = "" if row.active else "  SWITCHED OFF"
        click.echo(
            f"{row.id:<4} {printable(row.url)}  {', '.join(row.kinds)}  ({row.waiting} waiting, "
            f"{row.delivered} delivered, {row.given_up} given up){state}"
        )
    for one in last:
        why = "" if one.state == "delivered" else f"  {one.last_status or ''} {one.last_error}"
        click.echo(
            f"webhook {one.webhook_id}  {one.created_at:%Y-%m-%d %H:%M:%S}  {one.kind:<20} "
            f"{one.state}, {counted(one.attempts, 'attempt')}{why.rstrip()}"
        )
    if not rows:
        click.echo("No webhook yet; see `rankloop webhook add --help`.")


@webhook.command("remove", example="rankloop webhook remove 1")
@click.argument("webhook_id", type=int, metavar="ID")
@pass_options
def remove(options: Options, webhook_id: int) -> None:
    """Tell webhook ID nothing more; what it still waits for is forgotten."""
    from labeling.webhooks.subscriptions import remove_webhook
    from storage.engine import writing
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        project = project_of(session, settings)
        remove_webhook(session, project=project, by=None, webhook_id=webhook_id)
    click.echo(f"Webhook {webhook_id} is removed.")


@webhook.command("test", example="rankloop webhook test 1")
@click.argument("webhook_id", type=int, metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@pass_options
def test(options: Options, webhook_id: int, as_json: bool) -> int:
    """Send webhook ID a test message now; the secret must be in this environment."""
    from labeling.webhooks.subscriptions import send_test
    from storage.engine import reading
    from ui.database import open_database

    settings = options.settings()
    engine = open_database(settings)
    with reading(engine) as session:
        project = project_of(session, settings)
    answer = send_test(
        engine,
        project=project,
        by=None,
        webhook_id=webhook_id,
        private=settings.webhook_private_addresses,
    )
    if as_json:
        click.echo(json.dumps({"accepted": answer.accepted, **asdict(answer)}, indent=2))
    else:
        came = "accepted" if answer.accepted else "not accepted"
        why = f"{answer.status or ''} {answer.error}".strip()
        click.echo(f"The test message was {came}: {why}".rstrip(": "))
    return DONE if answer.accepted else FAILED


@webhook.command("deliver", example="HOOK_SECRET=whsec_… rankloop webhook deliver")
@click.option("--once", is_flag=True, help="Send what is due, and exit.")
@pass_options
def deliver(options: Options, once: bool) -> None:
    """Deliver what is due, until stopped; `rankloop up` runs one by itself."""
    from labeling.alarm_events import watch_alarms
    from labeling.webhooks.delivering import deliver_due, deliver_forever
    from ui.cli.tree import stop_with_parent
    from ui.database import open_database

    settings = options.settings()
    private = settings.webhook_private_addresses
    engine = open_database(settings)
    if once:
        sent = deliver_due(engine, private=private, say=click.echo)
        were = form(sent, "was", "were")
        click.echo(f"{counted(sent, 'message')} {were} due and tried.", err=True)
        return
    stop_with_parent()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(
        target=watch_alarms,
        args=(engine,),
        kwargs={"judgments_per_round": settings.judgments_per_round, "stop": stop},
        name="alarms",
        daemon=True,
    ).start()
    deliver_forever(engine, private=private, stop=stop, say=click.echo)


@click.command(cls=Command, example="rankloop events --follow --json")
@click.option("--last", type=click.IntRange(0), default=20, show_default=True, metavar="N",
              help="How many of the newest are listed first.")  # fmt: skip
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only these; repeatable.")
@click.option("--follow", is_flag=True, help="Go on with new ones until stopped.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@pass_options
def events(
    options: Options, last: int, kinds: tuple[str, ...], follow: bool, as_json: bool
) -> None:
    """List what happened in the project: who did what, when, oldest first."""
    from labeling.event_log import EventLog
    from storage.engine import reading
    from ui.database import open_database

    settings = options.settings()
    engine = open_database(settings)
    with reading(engine) as session:
        log = EventLog(project_id=project_of(session, settings).id or 0, kinds=kinds)
    never = threading.Event()
    while True:
        with reading(engine) as session:
            found = log.newest(session, most=last) if log.is_new else log.following(session)
        for row in found:
            click.echo(_event_line(row, as_json))
        if not follow:
            if not found and kinds:
                click.echo(f"No event of the kind {' or '.join(kinds)}.", err=True)
            return
        never.wait(settings.worker_poll_seconds)


def _event_line(row: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return json.dumps(row)
    detail = "  ".join(f"{name}={json.dumps(value)}" for name, value in row["detail"].items())
    who = row["account"] or "-"
    return f"{row['id']:<8} {row['at'][:19]}  {row['kind']:<22} {who:<16} {detail}"
