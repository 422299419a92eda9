"""What model annotators did, and how often people disagree with them."""

import json
from dataclasses import fields

import click

from ui.cli.frame import Command, Options, pass_options


@click.command(cls=Command, example="rankloop models --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@pass_options
def models(options: Options, as_json: bool) -> None:
    """Show what models judged, took without people, and got wrong in the audit."""
    from labeling.model_annotators.model_quality import ModelFigures, model_figures
    from storage.engine import reading
    from ui.cli.figures import plain
    from ui.cli.frame import project_of
    from ui.database import open_database

    settings = options.settings()
    with reading(open_database(settings)) as session:
        project = project_of(session, settings)
        assert project.id is not None
        found = model_figures(session, project_id=project.id, account=None)
    if as_json:
        names = [field.name for field in fields(ModelFigures)]
        rows = [{name: getattr(one, name) for name in names} for one in found]
        click.echo(json.dumps(plain(rows), indent=2))
    elif not found:
        click.echo("No model has judged anything here; docs/model-annotators.md says how one may.")
    for one in found if not as_json else []:
        click.echo(f"{one.name}: {one.in_words()}")
