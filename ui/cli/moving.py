"""`rankloop backup`, `rankloop restore` and `rankloop db copy`."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage.plurals import counted
from ui.cli.frame import Command, Group, Options, pass_options, stepwise

if TYPE_CHECKING:
    from storage.moving.restore import Restored
    from storage.moving.ways_in import BroughtBack

FILE = click.Path(path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")


@click.command(
    "backup", cls=Command, example="rankloop backup --out /var/backups/rankloop/ --with-files"
)
@click.option("--out", "given", metavar="PATH", required=True,
              help="File to make, or folder (there, or with / at its end) for a file.")  # fmt: skip
@click.option("--with-files", is_flag=True, help="Checkpoints and snapshots too, hashes checked.")
@JSON
@pass_options
def backup(options: Options, given: str, with_files: bool, as_json: bool) -> None:
    """Back up the project's database while it is in use; SQLite or PostgreSQL (pg_dump).

    Models are not in it: those that came with rankloop or a hub are fetched anew.
    """
    from storage.moving.backup import back_up
    from ui.database import open_database

    settings = options.settings()
    engine = open_database(settings)
    made = back_up(
        engine,
        home=settings.home,
        out=_folder_or_file(given),
        with_files=with_files,
        progress=stepwise(),
    )
    _record(options, "database.backed_up", file=made.file.name, with_files=with_files)
    if as_json:
        found = {"file": str(made.file), "bytes": made.bytes, "files": made.files}
        click.echo(json.dumps({**found, "elsewhere": made.elsewhere}, indent=2))
        return
    click.echo(
        f"{made.file}  {made.bytes / 2**20:.1f} MiB, {counted(made.files, 'file')}, hashes in it"
    )
    _tell_elsewhere(made.elsewhere)


def _folder_or_file(given: str) -> Path:
    from storage.errors import Unavailable

    out = Path(given)
    if given.endswith("/"):
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"The folder {given} cannot be made ({error.strerror}); choose another place."
            ) from error
    return out


def _tell_elsewhere(uris: Sequence[str]) -> None:
    from storage.moving.backup import MODELS
    from storage.object_store import is_remote

    for uri in uris:
        if uri.startswith(f"{MODELS}/"):
            click.echo(f"Not in it, `rankloop init` fetches it anew: {uri}")
        elif is_remote(uri):
            click.echo(f"Not in it, copy it by its own store's tools: {uri}")
        else:
            click.echo(f"Not in it, copy that folder by yourself: {uri}")


def _record(options: Options, kind: str, **detail: object) -> None:
    from labeling.events import record
    from storage.engine import writing
    from ui.database import open_database

    with writing(open_database(options.settings())) as session:
        record(session, project_id=None, account_id=None, kind=kind, **detail)


@click.command("restore", cls=Command, example="rankloop restore rankloop-20261122T031500Z.tar")
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Put it in the place of a database that is there.")
@click.option("--keep-sign-ins", is_flag=True,
              help="Leave sign-ins, invitations and tokens as the backup has them: what was ended, "
              "used or revoked since is good again.")  # fmt: skip
@JSON
@pass_options
def restore(
    options: Options, file: Path, replace: bool, keep_sign_ins: bool, as_json: bool
) -> None:
    """Restore a backup FILE; stop the web server and the worker first.

    Everything is unpacked and its hashes are checked before anything is changed. A SQLite database
    that is replaced is kept under another name. Everybody signs in anew; open invitations and
    tokens are revoked. Accounts that were erased, switched off or changed since are named.
    """
    from storage.moving.restore import restore as bring_back

    settings = options.settings()
    found = bring_back(
        file, url=settings.url, home=settings.home, replace=replace,
        keep_sign_ins=keep_sign_ins, progress=stepwise(),
    )  # fmt: skip
    if not found.needs_upgrade:
        _record(
            options, "database.restored", file=file.name, made_at=found.made_at,
            closed=asdict(found.closed) if found.closed else None,
            changed_ids=[one.account_id for one in found.changed or ()],
        )  # fmt: skip
    names = _project_names(options)
    if as_json:
        told = {"made_at": found.made_at, "files": found.files, "elsewhere": found.elsewhere}
        told |= {"kept": str(found.kept) if found.kept else None}
        told |= {"closed": asdict(found.closed) if found.closed else None}
        told |= {"changed": _as_json(found.changed, names)}
        click.echo(json.dumps({**told, "needs_upgrade": found.needs_upgrade}, indent=2))
        return
    click.echo(
        f"Restored the backup of {found.made_at}: the database and {counted(found.files, 'file')}."
    )
    _tell_elsewhere(found.elsewhere)
    if found.kept:
        click.echo(f"What was there is kept as {found.kept}")
    if found.needs_upgrade:
        click.echo("It is of an older version: run `rankloop init` to upgrade it.")
    _tell_closed(found)
    _tell_changed(found, names)


def _project_names(options: Options) -> dict[str, str]:
    """Return the names of the restored database's projects by their ids."""
    from sqlalchemy import text

    from storage.engine import build_engine

    engine = build_engine(options.settings().url)
    try:
        with engine.connect() as connection:
            return {str(key): name for key, name in connection.execute(
                text("SELECT id, name FROM project"))}  # fmt: skip
    finally:
        engine.dispose()


def _tell_closed(found: "Restored") -> None:
    if found.closed is None:
        click.echo(
            "Sign-ins, invitations and tokens are as the backup has them: what was ended, used or "
            "revoked since is good again."
        )
        return
    click.echo(
        "Closed, as they may have been ended, used or revoked after the backup: "
        f"{counted(found.closed.sign_ins, 'sign-in')}, "
        f"{counted(found.closed.invitations, 'open invitation')}, "
        f"{counted(found.closed.tokens, 'token')}. Everybody signs in anew."
    )


def _tell_changed(found: "Restored", projects: dict[str, str]) -> None:
    if found.changed is None:
        click.echo(
            "Nothing was there to compare with: who was erased, switched off, or given another "
            "role or password after the backup is as before. Do that again."
        )
        return
    if not found.changed:
        click.echo("Nobody was erased, switched off or given another role after the backup.")
        return
    after = " (after `rankloop init`)" if found.needs_upgrade else ""
    click.echo(f"As before the backup, and otherwise since; to do again{after}:")
    for one in found.changed:
        for what, how in _to_do(one, projects):
            click.echo(f"  {one.whom} {what}: {how}")


def _to_do(one: "BroughtBack", projects: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what had changed of an account since the backup, and what does it again."""
    name = shlex.quote(one.name)
    if one.erased:
        yield "was erased", f"rankloop privacy erase --number {one.account_id}"
    if one.role is not None:
        yield f"had the role {one.role}", f"rankloop account role {name} {one.role}"
    for key, role in one.project_roles:
        if key not in projects:
            # Made after the backup: it is not there any more.
            continue
        given, project = "same" if role is None else role or "none", projects[key]
        yield (
            f"had the role {given} in {project}",
            f"rankloop --project {shlex.quote(project)} account role {name} {given} --in-project",
        )
    if one.password:
        yield "had another password", f"rankloop account reset {name}"
    if one.single_sign_on:
        yield "was unlinked from single sign-on", "on Your account, by whose it is"
    # Last: nobody is given a new password to an account that is off.
    if one.switched_off:
        yield "was switched off", f"rankloop account switch-off {name}"


def _as_json(
    changed: "tuple[BroughtBack, ...] | None", projects: dict[str, str]
) -> list[dict[str, object]] | None:
    if changed is None:
        return None
    return [
        {
            "account_id": one.account_id,
            "name": one.name or None,
            "to_do": [{"what": what, "how": how} for what, how in _to_do(one, projects)],
        }
        for one in changed
    ]


@click.group(cls=Group, example="rankloop db copy --to postgresql://user@host/rankloop")
def db() -> None:
    """Move the database."""


@db.command("copy", example="rankloop db copy --to postgresql://user@host/rankloop")
@click.option("--to", "url", required=True, metavar="URL", help="The empty database to copy to.")
@JSON
@pass_options
def copy(options: Options, url: str, as_json: bool) -> None:
    """Copy every row into another, empty database: SQLite to PostgreSQL, or back.

    Counts and hashes of every table are compared before anything is kept. Stop the web server and
    the worker first; checkpoints and snapshots stay where they are. A password in the URL can be
    read by others on this machine: leave it out, and set PGPASSWORD or use ~/.pgpass.
    """
    from sqlalchemy.engine import make_url

    from storage.moving.database_copy import address_of, copy_database
    from ui.database import open_database

    copied = copy_database(open_database(options.settings()), url, progress=stepwise())
    if as_json:
        rows = {one.name: {"rows": one.rows, "sha256": one.sha256} for one in copied}
        click.echo(json.dumps(rows, indent=2))
        return
    for one in copied:
        if one.rows:
            click.echo(f"{one.rows:>10,}  {one.name:<20} {one.sha256[:16]}")
    address = shlex.quote(repr(address_of(make_url(url))))
    click.echo(f"Copied and checked. From now on: RANKLOOP_DATABASE_URL={address}")
