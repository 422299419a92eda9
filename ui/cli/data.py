"""Data in and out from the command line."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from storage.engine import reading, writing
from storage.plurals import counted, form
from storage.settings import Settings
from storage.tables import TaskKind
from ui.cli.frame import on_terminal, project_of, stepwise
from ui.database import open_database


def add_known_answers(settings: Settings, file: Path, *, qualification: bool) -> None:
    """Import tasks with known answers, all or none."""
    from labeling.quality_control.known_answer_files import read_known_answers
    from labeling.quality_control.known_answer_import import import_known_answers

    engine, progress = open_database(settings), on_terminal()
    with reading(engine) as session:
        project_of(session, settings)
    known = read_known_answers(file, progress)
    with writing(engine) as session:
        done = import_known_answers(
            session,
            project=project_of(session, settings),
            known=known,
            by=None,
            heldout_share=settings.heldout_share,
            kind=TaskKind.QUALIFICATION if qualification else TaskKind.GOLD,
            progress=progress,
        )
    click.echo(
        f"{counted(done.gold, 'gold task')} and "
        f"{counted(done.qualification, 'qualification task')} added, "
        f"{done.duplicates:,} {form(done.duplicates, 'was', 'were')} there already."
    )


def write_preferences(
    settings: Settings, out: Path, *, as_json: bool, repository: str | None, **given: Any
) -> None:
    """Export preferences into a new folder, and upload it where a repository is named.

    `given` goes to `export_preferences`.
    """
    from labeling.datasets.export_preferences import export_preferences
    from labeling.datasets.hub import push_to_hub
    from labeling.formats.registry import format_named

    engine = open_database(settings)
    with reading(engine) as session:
        project = project_of(session, settings)
    result = export_preferences(
        engine,
        project=project,
        account=None,
        home=settings.home,
        out=out,
        progress=stepwise(),
        **given,
    )
    address = push_to_hub(result.folder, repository=repository) if repository else None
    if as_json:
        said = asdict(result) | {"folder": str(result.folder), "repository": address}
        click.echo(json.dumps(said, indent=2))
        return
    click.echo(
        f"{counted(result.train, format_named(result.format).unit)} for training, "
        f"{result.validation:,} for validation and {result.test:,} for testing are in "
        f"{result.folder} (snapshot "
        f"{result.snapshot_id})."
    )
    if address:
        click.echo(f"They are also at {address}.")


def list_formats(*, as_json: bool) -> None:
    """Print the formats of rows and the types of files."""
    from labeling.datasets.file_types import FILE_TYPES
    from labeling.formats.registry import FORMATS

    formats = {each.name: each.help for each in FORMATS.values()}
    files = {each.name: each.help for each in FILE_TYPES.values()}
    if as_json:
        click.echo(json.dumps({"formats": formats, "files": files}, indent=2))
        return
    for title, named in (("Formats", formats), ("Files", files)):
        click.echo(title)
        for name, words in named.items():
            click.echo(f"  {name:<24} {words}")
