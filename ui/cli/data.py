"""Data in and out from the command line."""

from pathlib import Path

import click

from labeling.imports.prompts import import_prompts
from storage.engine import reading, writing
from storage.settings import Settings
from storage.tables import TaskKind
from ui.cli.frame import project_of
from ui.database import open_database


def add_prompts(settings: Settings, file: Path) -> None:
    """Import prompts, all or none."""
    with writing(open_database(settings)) as session:
        result = import_prompts(
            session,
            project=project_of(session, settings),
            path=file,
            heldout_share=settings.heldout_share,
        )
    click.echo(
        f"{result.added} prompts added, {result.duplicates} were there already; "
        f"{result.total} in all."
    )


def add_known_answers(settings: Settings, file: Path, *, qualification: bool) -> None:
    """Import tasks with known answers, all or none."""
    from labeling.quality_control.known_answer_import import import_known_answers

    with writing(open_database(settings)) as session:
        done = import_known_answers(
            session,
            project=project_of(session, settings),
            path=file,
            by=None,
            heldout_share=settings.heldout_share,
            kind=TaskKind.QUALIFICATION if qualification else TaskKind.GOLD,
        )
    click.echo(
        f"{done.gold} gold and {done.qualification} qualification tasks added, "
        f"{done.duplicates} were there already."
    )


def write_preferences(
    settings: Settings, format_: str, out: Path, *, include_models: bool = False
) -> None:
    """Export preferences into a new folder."""
    from labeling.datasets.export_preferences import export_preferences

    engine = open_database(settings)
    with reading(engine) as session:
        project = project_of(session, settings)
    result = export_preferences(
        engine,
        project=project,
        account=None,
        out=out,
        format=format_,
        include_models=include_models,
    )
    click.echo(
        f"{result.train} pairs for training and {result.test} for testing are in {result.folder}."
    )
