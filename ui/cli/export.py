"""The commands that take data out."""

from pathlib import Path

import click

from ui.cli.frame import Group, Options, pass_options

FOLDER = click.Path(file_okay=False, path_type=Path)
_EXAMPLE = "rankloop export preferences --format trl_preference --out preferences"


def _known_format(_ctx: click.Context, _parameter: click.Parameter, given: str) -> str:
    from labeling.formats.registry import format_named
    from storage.errors import BadInput

    try:
        return format_named(given).name
    except BadInput as error:
        raise click.BadParameter(str(error)) from error


def _known_file_type(_ctx: click.Context, _parameter: click.Parameter, given: str) -> str:
    from labeling.datasets.file_types import file_type_named
    from storage.errors import BadInput

    try:
        return file_type_named(given).name
    except BadInput as error:
        raise click.BadParameter(str(error)) from error


@click.group(cls=Group, example=_EXAMPLE)
def export() -> None:
    """Take data out."""


@export.command("preferences", example=_EXAMPLE)
@click.option("--snapshot", metavar="ID", help="Snapshot to export, by id or name (default: freeze "
              "the current data).")  # fmt: skip
@click.option("--format", "format_", default="trl_preference", show_default=True,
              callback=_known_format, help="Shape of the rows; `rankloop export formats` lists "
              "them.")  # fmt: skip
@click.option("--files", "file_type", default="jsonl", show_default=True,
              callback=_known_file_type,
              help="jsonl, jsonl.gz, jsonl.zst, json, parquet, csv or arrow.")  # fmt: skip
@click.option("--out", type=FOLDER, required=True, help="Folder to make; must be new or empty.")
@click.option("--validation-share", type=click.FloatRange(0, 0.5), default=None,
              help="Share of training prompts for validation (default: the project's "
              "setting).")  # fmt: skip
@click.option("--include-models", is_flag=True,
              help="Without --snapshot: add the tasks that models took.")  # fmt: skip
@click.option("--push-to-hub", "repository", metavar="OWNER/NAME",
              help="Upload the folder, too, as a private data set; HF_TOKEN may write "
              "there.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@pass_options
def export_preferences(
    options: Options, snapshot: str | None, format_: str, file_type: str, out: Path,
    validation_share: float | None, include_models: bool, repository: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Write a snapshot's preferences in the shape that a trainer reads, split by prompt.

    The folder gets train, validation and test files and a card (README.md), all or nothing.
    """
    from ui.cli.data import write_preferences

    if snapshot is not None and include_models:
        raise click.UsageError(
            "--include-models is for an export without --snapshot; a snapshot has its own --models"
        )
    write_preferences(
        options.settings(),
        out,
        as_json=as_json,
        repository=repository,
        format=format_,
        file_type=file_type,
        snapshot=snapshot,
        include_models=include_models,
        validation_share=validation_share,
    )


@export.command("formats", example="rankloop export formats --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
def export_formats(as_json: bool) -> None:
    """List the formats of rows and the types of files."""
    from ui.cli.data import list_formats

    list_formats(as_json=as_json)
