"""A command that brought much in leaves the figures of leads' pages in files."""

import click

from storage.errors import RankloopError
from storage.settings import Settings
from ui.cli.frame import on_terminal

# Judgments that are measured while a page loads; what measures takes a second to be imported.
_FEW = 2000


def leave_figures(settings: Settings, *, new: int, quiet: bool) -> None:
    """Measure what leads' pages show after `new` judgments came in, where they are many.

    What was brought in is stored by now: whoever stops this, or whatever stops it, nothing is lost.
    """
    if new < _FEW:
        return
    from ui import process
    from ui.figures import measured_ahead

    process.configure(settings)
    try:
        measured_ahead.measure_into_files(new=new, progress=on_terminal(quiet=quiet))
    except KeyboardInterrupt:
        click.echo("Stopped; the figures are measured when a page asks for them.", err=True)
    except RankloopError as error:
        click.echo(f"The figures are measured when a page asks for them: {error}", err=True)
