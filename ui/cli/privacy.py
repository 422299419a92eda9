"""`rankloop privacy`: one person's data, exported or erased on request."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage.plurals import counted, form
from ui.cli.accounts import account_named
from ui.cli.frame import Group, Options, pass_options

if TYPE_CHECKING:
    from sqlmodel import Session

    from storage.tables import Account

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")


@click.group(cls=Group, example="rankloop privacy export ada --out ada.zip")
def privacy() -> None:
    """Export or erase what is kept of one person."""


@privacy.command("export", example="rankloop privacy export ada --out ada.zip")
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.zip",
    help="The ZIP file to write; one that is there is not replaced.",
)
@JSON
@pass_options
def export(options: Options, name: str, out: Path, as_json: bool) -> None:
    """Write all that is kept of the account NAME: JSON lines in a ZIP file, with a README."""
    from labeling.privacy.export import export_person
    from storage.engine import reading
    from storage.errors import Conflict
    from ui.database import open_database

    engine = open_database(options.settings())
    if out.exists():
        raise Conflict(f"{out} is there already; name another file with --out.")
    with reading(engine) as session:
        account_id = account_named(session, name).id or 0
    counts = export_person(engine, account_id=account_id, by=None, out=out)
    if as_json:
        click.echo(json.dumps({"file": str(out), "rows": counts}, indent=2))
        return
    click.echo(f"{out}  {counted(sum(counts.values()), 'row')}: {', '.join(counts)}.")


@privacy.command("erase", example="rankloop privacy erase ada --judgments keep --yes")
@click.argument("name", required=False)
@click.option("--number", type=int, default=None, metavar="N",
              help="The account's number instead of its name, as `restore` says it.")  # fmt: skip
@click.option(
    "--judgments",
    type=click.Choice(["keep", "withdraw"]),
    default=None,
    help="Keep them without a name, or withdraw them (default: the setting).",
)
@click.option(
    "--texts/--no-texts",
    default=None,
    help="Erase reasons and comments, too (default: the setting).",
)
@click.option("--yes", is_flag=True, help="Do not ask first.")
@JSON
@pass_options
def erase(
    options: Options, name: str | None, number: int | None, judgments: str | None,
    texts: bool | None, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Erase who the account NAME is; what it did stays under a number. There is no way back."""
    from labeling.privacy.erasure import erase_person
    from labeling.privacy.out_of_reach import LOG_LEFT, out_of_reach
    from storage.engine import empty_log, reading, writing
    from ui.database import open_database
    from ui.figures.figures_on_disk import forget_figures

    if (name is None) == (number is None):
        raise click.UsageError("Say whom: a NAME, or --number N.")
    settings = options.settings()
    engine = open_database(settings)
    with reading(engine) as session:
        account = _account(session, name, number)
        account_id, name = account.id or 0, account.name
        left = out_of_reach(session, account_id=account_id, by=None, home=settings.home)
    _ask(name, yes)
    wanted = settings.privacy.judgments
    if judgments is not None:
        wanted = "withdraw" if judgments == "withdraw" else "keep"
    with writing(engine) as session:
        done = erase_person(
            session, account_id=account_id, by=None, judgments=wanted,
            texts=settings.privacy.erase_texts if texts is None else texts,
        )  # fmt: skip
    if not empty_log(engine):
        left.append(LOG_LEFT)
    forget_figures(settings.home)
    if as_json:
        click.echo(json.dumps({**asdict(done), "out_of_reach": left}, indent=2))
        return
    one, many = ("is withdrawn", "are withdrawn") if done.withdrawn else ("stays", "stay")
    nameless = "" if done.withdrawn else " without a name"
    click.echo(f"Erased. The account is {done.name} now; {counted(done.judgments, 'judgment')} "
               f"{form(done.judgments, one, many)}{nameless}.")  # fmt: skip
    click.echo(
        f"Gone: {counted(done.sign_ins, 'sign-in')}, {counted(done.tokens, 'token')}, "
        f"{counted(done.texts, 'text')}. No longer telling who it was: "
        f"{counted(done.events, 'event')}. Free again: {counted(done.released, 'task')}."
    )
    click.echo("What an erasure cannot reach:")
    for line in left:
        click.echo(f"  {line}")


def _account(session: "Session", name: str | None, number: int | None) -> "Account":
    from storage.errors import NotFound
    from storage.tables import Account

    if name is not None:
        return account_named(session, name)
    found = session.get(Account, number)
    if found is None:
        raise NotFound(f"There is no account {number}; see `rankloop account list --json`.")
    return found


def _ask(name: str, yes: bool) -> None:
    """Ask for the name once more on a terminal; elsewhere --yes must be given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Erasing cannot be undone; add --yes to do it without being asked.")
    if click.prompt(f"This cannot be undone. Type {name} to erase it", default="") != name:
        raise click.Abort
