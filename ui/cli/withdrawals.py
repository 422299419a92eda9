"""`rankloop withdraw`: take judgments out of figures, snapshots and exports, and put them back."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from ui.cli.frame import Group, Options, pass_options, project_of

if TYPE_CHECKING:
    from sqlmodel import Session

    from labeling.withdrawals.scope import Scope
    from labeling.withdrawals.withdrawing import WithdrawalRow


class Moment(click.ParamType):
    """A time as ISO 8601 writes it; UTC where it has no zone."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time with its zone."""
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no time; write it as 2026-03-01 or 2026-03-01T09:30Z", param, ctx
            )
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found


ANNOTATOR = click.option("--annotator", metavar="NAME", help="Only the judgments of NAME.")
IMPORT = click.option("--import", "import_id", type=int, metavar="ID",
                      help="Only what came with this import.")  # fmt: skip
SINCE = click.option("--since", type=Moment(), help="From this time on; UTC without a zone.")
UNTIL = click.option("--until", type=Moment(), help="Before this time; UTC without a zone.")
SHARED = (
    click.option("--reason", default="", help="Why; it is kept in the record."),
    click.option("--requeue/--no-requeue", default=None,
                 help="Ask others instead (default: the setting withdrawals.requeue)."),
    click.option("--yes", is_flag=True, help="Do not ask first on a terminal."),
    click.option("--dry-run", is_flag=True, help="Say what it touches, and do nothing."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words."),
)  # fmt: skip


def _options(*more: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed((*more, *SHARED)):
            command = option(command)
        return command

    return add


@click.group(cls=Group, example="rankloop withdraw annotator ada --reason 'guessed' --dry-run")
def withdraw() -> None:
    """Take judgments out of figures, snapshots and exports; nothing is deleted."""


@withdraw.command("annotator", example="rankloop withdraw annotator ada --reason 'guessed'")
@click.argument("name")
@_options(IMPORT, SINCE, UNTIL)
@pass_options
def annotator(options: Options, /, name: str, **given: Any) -> None:
    """Withdraw the judgments and demonstrations of NAME."""
    _withdraw(options, annotator=name, **given)


@withdraw.command("import", example="rankloop withdraw import 3 --reason 'wrong file' --dry-run")
@click.argument("import_id", type=int, metavar="ID")
@_options(ANNOTATOR, SINCE, UNTIL)
@pass_options
def import_(options: Options, /, **given: Any) -> None:
    """Withdraw what import ID brought, and the judgments of its tasks."""
    _withdraw(options, **given)


@withdraw.command(
    "window",
    example="rankloop withdraw window --since 2026-03-01 --until 2026-03-02 --reason 'wrong texts'",
)
@_options(SINCE, UNTIL, ANNOTATOR, IMPORT)
@pass_options
def window(options: Options, /, **given: Any) -> None:
    """Withdraw the judgments and demonstrations of a span of time."""
    if given["since"] is None and given["until"] is None:
        raise click.UsageError("Give --since, --until or both.")
    _withdraw(options, **given)


@withdraw.command("list", example="rankloop withdraw list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@pass_options
def list_(options: Options, as_json: bool) -> None:
    """List what is, or was, withdrawn, newest first."""
    from labeling.withdrawals.withdrawing import withdrawals
    from storage.engine import reading
    from ui.database import open_database

    settings = options.settings()
    with reading(open_database(settings)) as session:
        project = project_of(session, settings)
        rows = withdrawals(session, project_id=project.id or 0, account=None)
    if as_json:
        click.echo(json.dumps([_as_json(row) for row in rows], indent=2, ensure_ascii=False))
    elif not rows:
        click.echo("Nothing is withdrawn.")
    for row in [] if as_json else rows:
        click.echo(_line(row))


@withdraw.command("revert", example="rankloop withdraw revert 1 --reason 'it was the other one'")
@click.argument("withdrawal_id", type=int, metavar="ID")
@click.option("--reason", required=True, help="Why; it is kept in the record.")
@pass_options
def revert(options: Options, withdrawal_id: int, reason: str) -> None:
    """Put back what withdrawal ID took out, unless another one covers it."""
    from labeling.withdrawals import withdrawing
    from storage.engine import writing
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        project = project_of(session, settings)
        withdrawing.revert(
            session, project=project, by=None, withdrawal_id=withdrawal_id, reason=reason
        )
    click.echo(f"Withdrawal {withdrawal_id} is reverted; the next snapshot has again what no other "
               "withdrawal takes out.")  # fmt: skip


def _withdraw(
    options: Options,
    *,
    annotator: str | None = None,
    import_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    reason: str,
    requeue: bool | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    from labeling.withdrawals.scope import Scope
    from labeling.withdrawals.traces import touched
    from labeling.withdrawals.withdrawing import withdraw as act
    from storage.engine import reading, writing
    from ui.database import open_database
    from ui.withdrawal_words import lines_of

    if not dry_run and not reason.strip():
        raise click.UsageError("Give --reason; it is kept in the record.")
    settings = options.settings()
    engine = open_database(settings)
    with reading(engine) as session:
        project = project_of(session, settings)
        scope = Scope(_account(session, annotator), import_id, since, until)
        found = touched(session, project=project, account=None, scope=scope, home=settings.home)
    if not as_json:
        click.echo("\n".join(lines_of(found)))
    if not dry_run:
        if not yes and not as_json and sys.stdin.isatty():
            click.confirm("Withdraw it?", abort=True)
        with writing(engine) as session:
            project = project_of(session, settings)
            done = act(
                session, project=project, by=None, scope=scope, reason=reason, requeue=requeue
            )
    if as_json:
        number = None if dry_run else done.id
        click.echo(json.dumps({"withdrawal": number, **found.as_json()}, indent=2))
    elif dry_run:
        click.echo("Nothing was changed: this is what a withdrawal would do.")
    else:
        click.echo(f"Withdrawn, as number {done.id}. To put it back: rankloop withdraw revert "
                   f"{done.id} --reason WHY")  # fmt: skip
        _say_still_active(engine, scope)


def _account(session: "Session", name: str | None) -> int | None:
    from ui.cli.tasks import account_named

    return None if name is None else account_named(session, name)


def _say_still_active(engine: Any, scope: "Scope") -> None:
    from storage.engine import reading
    from storage.tables import Account

    # Of an import no more judgments come.
    if scope.annotator_id is None or scope.import_id is not None or scope.until is not None:
        return
    with reading(engine) as session:
        account = session.get_one(Account, scope.annotator_id)
    if account.active and not account.imported_from:
        click.echo(f"{account.name} may still judge, and what they judge is withdrawn too; "
                   "give --until to end it.")  # fmt: skip


def _line(row: "WithdrawalRow") -> str:
    state = f"reverted {row.reverted_at:%Y-%m-%d %H:%M}" if row.reverted_at else "holds"
    return f"{row.id:<4} {state:<24} {row.what}: {row.reason} ({row.by}, {row.at:%Y-%m-%d %H:%M})"


def _as_json(row: "WithdrawalRow") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(row).items()
    }
