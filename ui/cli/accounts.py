"""`rankloop account`: who there is, what they may do, and their ways in."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ui.cli.frame import Group, Options, pass_options, project_of

if TYPE_CHECKING:
    from sqlmodel import Session

    from storage.settings import Settings
    from storage.tables import Account

ROLES = ["annotator", "lead", "engineer", "admin"]
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
HOURS = click.option("--hours", type=float, default=None, metavar="N",
                     help="How long the link is good for (default: the setting "
                     "accounts.invitation_hours, 72).")  # fmt: skip


@click.group(cls=Group, example="rankloop account add ada --role annotator")
def account() -> None:
    """Manage accounts, invitations, sign-ins and access tokens."""


@account.command("add", example="rankloop account add ada --role annotator")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the account may do.")
@click.option("--password-stdin", is_flag=True, help="Read the password's line from stdin.")
@pass_options
def add(options: Options, name: str, role: str, password_stdin: bool) -> None:
    """Add the account NAME; its generated password is printed once."""
    from labeling.accounts import create_account, generate_password
    from storage.engine import writing
    from storage.tables import Role
    from ui.database import open_database

    settings = options.settings()
    password = _read_password() if password_stdin else generate_password()
    breached = settings.accounts.breached_passwords
    with writing(open_database(settings)) as session:
        create_account(session, name=name, role=Role(role), password=password, breached=breached)
    click.echo(f"Account {name} ({role}) is made.")
    if not password_stdin:
        click.echo(f"Password, shown only now: {password}")


def _read_password() -> str:
    from storage.errors import BadInput

    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise BadInput("No password came on standard input; pipe one line into the command.")
    return line


@account.command("pool", example="rankloop account pool ada medicine")
@click.argument("name")
@click.argument("pool", default="")
@pass_options
def pool(options: Options, name: str, pool: str) -> None:
    """Put the annotator NAME into POOL, or without POOL out of any.

    The setting labeling.assignment.pool_shares says which share of new tasks each pool is kept.
    """
    from labeling.work_queue.pools import set_pool
    from storage.engine import writing
    from ui.cli.frame import shell_account
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        project = project_of(session, settings)
        set_pool(
            session,
            project=project,
            account=account_named(session, name),
            pool=pool,
            by=shell_account(),
        )
    where = f"is in the pool {pool}" if pool else "is in no pool"
    click.echo(f"{name} {where} of project {settings.project}.")


def account_named(session: "Session", name: str) -> "Account":
    """Return the account of that name; raise `NotFound` without one."""
    from labeling.accounts import find_account

    return find_account(session, name=name)


@account.command("list", example="rankloop account list --search ada --json")
@click.option("--search", default="", metavar="TEXT", help="Only names with TEXT in them.")
@JSON
@pass_options
def list_(options: Options, search: str, as_json: bool) -> None:
    """List the accounts with their roles, and when they were seen."""
    from labeling.people.directory import accounts
    from storage.engine import reading
    from ui.database import open_database

    with reading(open_database(options.settings())) as session:
        rows = accounts(session, by=None, search=search)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        own = "".join(
            f"  {project}: {role or 'nothing'}" for project, role in row.project_roles.items()
        )
        seen = f"seen {row.seen_at:%Y-%m-%d %H:%M}" if row.seen_at else "never seen"
        click.echo(f"{row.name:<24} {row.role:<10} {row.state:<9} {seen}{own}")


@account.command("role", example="rankloop account role ada lead")
@click.argument("name")
@click.argument("role", type=click.Choice([*ROLES, "none", "same"]))
@click.option("--in-project", "in_project", is_flag=True,
              help="Only in that of --project; none: no business, same: as elsewhere.")  # fmt: skip
@pass_options
def role(options: Options, name: str, role: str, in_project: bool) -> None:
    """Give the account NAME another ROLE."""
    from labeling.people.roles import change_project_role, change_role
    from storage.engine import writing
    from storage.tables import Role
    from ui.database import open_database

    if not in_project and role not in ROLES:
        raise click.UsageError(f"{role} is a role in one project; add --in-project.")
    settings = options.settings()
    with writing(open_database(settings)) as session:
        account, given = account_named(session, name), Role(role) if role in ROLES else None
        if in_project:
            project, same = project_of(session, settings), role == "same"
            change_project_role(
                session, account=account, project=project, role=given, by=None, follow=same
            )
        elif given is not None:
            change_role(session, account=account, role=given, by=None)
    where = f" in project {settings.project}" if in_project else ""
    click.echo(f"{name} has the role {role}{where} now.")


@account.command("switch-off", example="rankloop account switch-off ada")
@click.argument("name")
@pass_options
def switch_off(options: Options, name: str) -> None:
    """Let nobody sign in as NAME any more; its sign-ins and open invitations end."""
    from labeling.people.roles import switch_off
    from storage.engine import writing
    from ui.database import open_database

    with writing(open_database(options.settings())) as session:
        switch_off(session, account=account_named(session, name), by=None)
    click.echo(f"{name} is switched off.")


@account.command("switch-on", example="rankloop account switch-on ada")
@click.argument("name")
@pass_options
def switch_on(options: Options, name: str) -> None:
    """Let NAME sign in again."""
    from labeling.people.roles import switch_on
    from storage.engine import writing
    from ui.database import open_database

    with writing(open_database(options.settings())) as session:
        switch_on(session, account=account_named(session, name), by=None)
    click.echo(f"{name} is switched on.")


def print_json(value: Any) -> None:
    """Print what a command found as JSON."""
    from ui.cli.figures import plain

    click.echo(json.dumps(plain(value), indent=2))


def link_of(settings: "Settings", code: str) -> str:
    """Return the address of an invitation; its code is in the fragment, which no server is sent."""
    host = "localhost" if settings.host in ("127.0.0.1", "::1", "0.0.0.0") else settings.host
    base = settings.accounts.public_url or f"http://{host}:{settings.port}"
    return f"{base}/join#{code}"
