"""The commands that bring data in."""

from pathlib import Path

import click

from ui.cli.frame import Group, Options, pass_options

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FILES = click.Path(exists=True, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
TAGS = click.option("--tag", "tags", multiple=True, metavar="TAG",
                    help="Tag of every prompt; may be given more than once.")  # fmt: skip
LANGUAGE = click.option("--language", default="", metavar="TAG",
                        help="Language (en, zh-Hans …) of prompts that name none.")  # fmt: skip
SPLIT = click.option("--split", type=click.Choice(["train", "heldout"]),
                     help="Side of new prompts, whatever the file says.")  # fmt: skip
SOURCE = click.option("--source", default="", metavar="NAME",
                      help="Name of where it is from (default: the file's).")  # fmt: skip
DRY_RUN = click.option("--dry-run", is_flag=True, help="Check the whole file and change nothing.")
SKIP_BAD = click.option("--skip-bad", type=NEW_FILE, metavar="BAD.jsonl",
                        help="Write bad rows there with reasons, and import the rest.")  # fmt: skip


def _known_format(_ctx: click.Context, _parameter: click.Parameter, given: str) -> str:
    from labeling.imports.preference_rows.registry import ALIASES, AUTO, READERS

    if given not in (*READERS, *ALIASES, AUTO):
        raise click.BadParameter(f"there is no format {given}; use {AUTO}, {', '.join(READERS)}")
    return given


@click.group("import", cls=Group, example="rankloop import prompts prompts.jsonl")
def import_() -> None:
    """Bring data in: prompts, completions, preferences."""


@import_.command("prompts", example="rankloop import prompts prompts.jsonl --tag medicine")
@click.argument("file", type=FILE)
@TAGS
@LANGUAGE
@JSON
@pass_options
def import_prompts(
    options: Options, file: Path, tags: tuple[str, ...], language: str, as_json: bool
) -> None:
    """Add the prompts of FILE: JSONL, JSON, CSV, Parquet or Arrow.

    A row needs `prompt` (text or messages) or `messages`, and may have `source`, `license`, `tags`
    and `language`. With one bad row nothing is imported.
    """
    from ui.cli.imported import add_prompts

    add_prompts(options.settings(), file, tags=tags, language=language, as_json=as_json)


@import_.command("completions", example="rankloop import completions completions.jsonl --model big")
@click.argument("file", type=FILES)
@click.option("--model", default="", metavar="NAME", help="Model of rows that name none.")
@click.option("--overlap", type=click.IntRange(1), help="Annotators a task (default: as set).")
@click.option("--priority", type=int, default=0, show_default=True, help="Higher comes first.")
@SPLIT
@TAGS
@LANGUAGE
@SOURCE
@DRY_RUN
@SKIP_BAD
@JSON
@pass_options
def import_completions(
    options: Options, file: Path, model: str, overlap: int | None, priority: int,
    split: str | None, tags: tuple[str, ...], language: str, source: str, dry_run: bool,
    skip_bad: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Add the completions of FILE as tasks that people can rank.

    A row has `prompt` or `messages`, and `completion` with `model`, or `completions` (texts, or
    objects with text and model) with `models`. Each model becomes a policy of kind import.
    """
    from ui.cli.imported import Bringing, add_completions

    add_completions(
        options.settings(),
        Bringing(file, split, tags, language, source, dry_run, skip_bad, as_json),
        model=model,
        overlap=overlap,
        priority=priority,
    )


@import_.command(
    "preferences", example="rankloop import preferences preferences.jsonl --format hh_rlhf"
)
@click.argument("file", type=FILES)
@click.option("--format", "format_", default="auto", show_default=True, metavar="NAME",
              callback=_known_format,
              help="Shape of the rows: trl_preference, trl_implicit, trl_unpaired, "
              "trl_prompt_only, trl_prompt_completion, ranking, hh_rlhf, openai_preference, "
              "ultrafeedback, open_assistant, summarize_from_feedback, argilla, label_studio, "
              "long (PandaLM's), or auto: what the first row looks like.")  # fmt: skip
@click.option("--texts", type=FILE, help="With long: the file of prompts and answers by task_id.")
@click.option("--pseudonyms", is_flag=True, help="Keep annotators' names as hashes only.")
@click.option("--license", "license_", default="", metavar="NAME",
              help="Licence of prompts that name none.")  # fmt: skip
@SPLIT
@TAGS
@LANGUAGE
@SOURCE
@DRY_RUN
@SKIP_BAD
@JSON
@pass_options
def import_preferences(
    options: Options, file: Path, format_: str, texts: Path | None, pseudonyms: bool,
    license_: str, split: str | None, tags: tuple[str, ...], language: str, source: str,
    dry_run: bool, skip_bad: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Add the judgments of FILE (or of the files in a folder) with their annotators.

    All of it is imported or, with one bad row, nothing; the same file twice is refused.
    Annotators become accounts that nobody can sign in to, models policies of kind import. A file
    named train, validation or test puts its new prompts on that side.
    """
    from ui.cli.imported import Bringing, add_preferences

    add_preferences(
        options.settings(),
        Bringing(file, split, tags, language, source, dry_run, skip_bad, as_json, license_),
        format_=format_,
        texts=texts,
        pseudonymous=pseudonyms,
    )


@import_.command("list", example="rankloop import list --json")
@JSON
@pass_options
def import_list(options: Options, as_json: bool) -> None:
    """List what was imported; `rankloop withdraw` takes an import out again."""
    from ui.cli.imported import show_imports

    show_imports(options.settings(), as_json=as_json)
