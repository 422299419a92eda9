"""`rankloop account roles`: which role may do what."""

import json

import click

from ui.cli.accounts import JSON
from ui.cli.frame import Command


@click.command("roles", cls=Command, example="rankloop account roles")
@JSON
def roles(as_json: bool) -> None:
    """Show which role may do what."""
    from labeling.permissions import PERMITTED, role_table

    if as_json:
        found = {str(role): sorted(map(str, actions)) for role, actions in PERMITTED.items()}
        click.echo(json.dumps(found, indent=2))
        return
    for line in role_table():
        click.echo(line)
