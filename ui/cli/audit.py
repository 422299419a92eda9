"""`rankloop audit`: who signed in, let data out, changed settings, roles and accounts."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import click

from ui.cli.frame import Command, Options, pass_options
from ui.cli.withdrawals import SINCE, UNTIL

if TYPE_CHECKING:
    from labeling.audit.log import AuditRow


@click.command(
    "audit", cls=Command, example="rankloop audit --since 2026-11-01 --kind sign_in.failed"
)
@SINCE
@UNTIL
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Only such deeds; may be given more than once (--kinds lists them).",
)
@click.option("--account", "name", metavar="NAME", help="Only what this account did.")
@click.option(
    "--most",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="How many of the newest; --csv and --json give all.",
)
@click.option("--csv", "file_type", flag_value="csv", help="Print all of it as CSV.")
@click.option("--json", "file_type", flag_value="jsonl", help="Print all of it as JSON lines.")
@click.option("--kinds", "list_kinds", is_flag=True, help="List the kinds of deeds, and end.")
@pass_options
def audit(
    options: Options, since: datetime | None, until: datetime | None, kinds: tuple[str, ...],
    name: str | None, most: int, file_type: str | None, list_kinds: bool,
) -> None:  # fmt: skip
    """Show the audit log: who did what, when and from where, newest first."""
    from labeling.audit.files import lines_of, note_export
    from labeling.audit.kinds import AUDITED
    from labeling.audit.log import AuditChoice, audit_log, audit_rows
    from storage.engine import reading, writing
    from ui.cli.accounts import account_named
    from ui.database import open_database

    if list_kinds:
        for name_of_kind, words in AUDITED.items():
            click.echo(f"{name_of_kind:<30}{words}")
        return
    engine = open_database(options.settings())
    with reading(engine) as session:
        account_id = account_named(session, name).id if name else None
    choice = AuditChoice(kinds=kinds, account_id=account_id, since=since, until=until)
    if file_type is None:
        with reading(engine) as session:
            for row in audit_rows(session, account=None, choice=choice, most=most):
                click.echo(_line(row))
        return
    kind: Literal["csv", "jsonl"] = "csv" if file_type == "csv" else "jsonl"
    with reading(engine) as session:
        sys.stdout.writelines(lines_of(audit_log(session, account=None, choice=choice), kind))
    with writing(engine) as session:
        note_export(session, account=None, choice=choice, file_type=kind)


def _line(row: "AuditRow") -> str:
    parts = [f"{row.at:%Y-%m-%d %H:%M:%S}", row.who, row.what]
    parts += [f"({row.whom})"] if row.whom else []
    parts += [f"[{row.project}]"] if row.project else []
    parts += [f"from {row.address}"] if row.address else []
    return "  ".join(parts) + (f": {row.told}" if row.told else "")
