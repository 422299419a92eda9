"""The commands of leads: guidelines, tasks with known answers, and how labeling works."""

from pathlib import Path
from typing import Any

import click

from ui.cli.frame import Group, Options, pass_options
from ui.cli.section_values import section_values

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")


@click.group(cls=Group, example="rankloop guidelines publish guidelines.md --note 'on refusals'")
def guidelines() -> None:
    """Show or publish what annotators should look at."""


@guidelines.command("show", example="rankloop guidelines show --version 1")
@click.option("--version", type=click.IntRange(1), help="Version (default: the one in force).")
@JSON
@pass_options
def guidelines_show(options: Options, version: int | None, as_json: bool) -> None:
    """Print the guidelines."""
    from ui.cli.guidelines import show

    show(options.settings(), version=version, as_json=as_json)


@guidelines.command("publish", example="rankloop guidelines publish guidelines.md")
@click.argument("file", type=FILE)
@click.option("--note", default="", help="What is new, for annotators.")
@pass_options
def guidelines_publish(options: Options, file: Path, note: str) -> None:
    """Put the Markdown of FILE in force; annotators read it before their next task."""
    from ui.cli.guidelines import publish

    publish(options.settings(), file, note=note)


@click.group(cls=Group, example="rankloop gold add known.jsonl")
def gold() -> None:
    """Manage tasks with known answers."""


@gold.command("add", example="rankloop gold add known.jsonl --qualification")
@click.argument("file", type=FILE)
@click.option("--qualification", is_flag=True,
              help="Rows that name no set go to the qualification, not to gold.")  # fmt: skip
@pass_options
def gold_add(options: Options, file: Path, qualification: bool) -> None:
    """Add the tasks of FILE: JSONL, CSV or Parquet.

    A row needs prompt (or messages), completions and ranks, and may have explanation and set (gold
    or qualification). With one bad row nothing is imported.
    """
    from ui.cli.data import add_known_answers

    add_known_answers(options.settings(), file, qualification=qualification)


@click.group(cls=Group, example="rankloop labeling set gold.rate=0.1 page.rationale=required")
def labeling() -> None:
    """Show or change how labeling works in the project."""


@labeling.command("show", example="rankloop labeling show --json")
@JSON
@pass_options
def labeling_show(options: Options, as_json: bool) -> None:
    """Print every setting of labeling."""
    from ui.cli.labeling_settings import show

    show(options.settings(), as_json=as_json)


@labeling.command("set", example="rankloop labeling set gold.rate=0.1 assignment.strategy=breadth")
@click.argument("values", nargs=-1, required=True, metavar="SECTION.FIELD=VALUE...",
                callback=section_values)  # fmt: skip
@pass_options
def labeling_set(options: Options, values: dict[str, dict[str, Any]]) -> None:
    """Change settings of labeling, all of them or none.

    VALUE is JSON, or plain text. page.criteria also takes the name of a ready set.
    """
    from ui.cli.labeling_settings import change

    change(options.settings(), values)
