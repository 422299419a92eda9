"""Accounts from the command line."""

import sys

import click

from labeling.accounts import create_account, generate_password
from storage.engine import writing
from storage.errors import BadInput
from storage.settings import Settings
from storage.tables import Role
from ui.database import open_database


def add_account(settings: Settings, name: str, role: str, password_stdin: bool) -> None:
    """Store an account; print its password if it was generated here."""
    password = _read_password() if password_stdin else generate_password()
    with writing(open_database(settings)) as session:
        create_account(session, name=name, role=Role(role), password=password)
    click.echo(f"Account {name} ({role}) is made.")
    if not password_stdin:
        click.echo(f"Password, shown only now: {password}")


def _read_password() -> str:
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise BadInput("No password came on standard input; pipe one line into the command.")
    return line
