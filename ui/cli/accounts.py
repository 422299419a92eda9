"""Accounts from the command line."""

import sys

import click
from sqlmodel import select

from labeling.accounts import create_account, generate_password
from labeling.work_queue.pools import set_pool
from storage.engine import writing
from storage.errors import BadInput, NotFound
from storage.settings import Settings
from storage.tables import Account, Role
from ui.cli.frame import project_of, shell_account
from ui.database import open_database


def add_account(settings: Settings, name: str, role: str, password_stdin: bool) -> None:
    """Store an account; print its password if it was generated here."""
    password = _read_password() if password_stdin else generate_password()
    with writing(open_database(settings)) as session:
        create_account(session, name=name, role=Role(role), password=password)
    click.echo(f"Account {name} ({role}) is made.")
    if not password_stdin:
        click.echo(f"Password, shown only now: {password}")


def put_into_pool(settings: Settings, name: str, pool: str) -> None:
    """Put an annotator into a pool of the project, or out of any; raise `NotFound`."""
    with writing(open_database(settings)) as session:
        project = project_of(session, settings)
        account = session.exec(select(Account).where(Account.name == name)).first()
        if account is None:
            raise NotFound(f"There is no account {name}; add it with `rankloop account add`.")
        set_pool(session, project=project, account=account, pool=pool, by=shell_account())
    where = f"is in the pool {pool}" if pool else "is in no pool"
    click.echo(f"{name} {where} of project {settings.project}.")


def _read_password() -> str:
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise BadInput("No password came on standard input; pipe one line into the command.")
    return line
