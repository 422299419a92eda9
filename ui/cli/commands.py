"""The commands and their options; what each does is in the module that it imports when it runs."""

import shlex
from pathlib import Path

import click

from storage.seeds import LARGEST_SEED
from ui.cli.audit import audit
from ui.cli.endpoints import complete
from ui.cli.export import export
from ui.cli.frame import Group, Options, pass_options
from ui.cli.imports import import_
from ui.cli.labeling import gold, guidelines, labeling
from ui.cli.models import models
from ui.cli.moving import backup, db, restore
from ui.cli.permissions import roles
from ui.cli.policies import policies
from ui.cli.privacy import privacy
from ui.cli.snapshots import snapshot
from ui.cli.tasks import queue, tasks
from ui.cli.train import evaluate, train
from ui.cli.ways_in import account
from ui.cli.webhooks import events, webhook
from ui.cli.withdrawals import withdraw

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")

HOST = click.option("--host", metavar="ADDRESS", help="Address the web server listens on; 0.0.0.0 "
                    "is every one (default: RANKLOOP_HOST, else 127.0.0.1).")  # fmt: skip
PORT = click.option("--port", type=click.IntRange(0, 65535), help="Port the web server listens on; "
                    "0 is a free one (default: RANKLOOP_PORT, else 8501).")  # fmt: skip


def _known_preference(_ctx: click.Context, _parameter: click.Parameter, given: str) -> str:
    from labeling.simulated.preferences import load_preference
    from storage.errors import BadInput

    try:
        load_preference(given)
    except BadInput as error:
        raise click.BadParameter(str(error)) from error
    return given


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"rankloop {version('rankloop')}")
        ctx.exit()


@click.group(cls=Group, invoke_without_command=True, example="rankloop up")
@click.option("--home", type=FOLDER, help="Folder of database, checkpoints and snapshots "
              "(default: RANKLOOP_HOME, else rankloop-data).")  # fmt: skip
@click.option("--project", metavar="NAME", help="Project to act on "
              "(default: RANKLOOP_PROJECT, else default).")  # fmt: skip
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Print the version.",
)  # fmt: skip
@click.pass_context
def cli(ctx: click.Context, home: Path | None, project: str | None, debug: bool) -> None:
    """People rank a model's completions; the model gets better while they work."""
    ctx.obj = Options(home=home, project=project, debug=debug)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@cli.command(example="rankloop --home ./data init")
@pass_options
def init(options: Options) -> None:
    """Set up the folder: database, model, starter prompts, first policy, admin account.

    What is there already stays; an interrupted run is repeated. Run again with RANKLOOP_OVERLAP,
    RANKLOOP_COMPLETIONS_PER_TASK or RANKLOOP_SYSTEM_PROMPT set, it changes them in the project.
    """
    from ui.cli.setup import initialise

    initialise(options.settings(), say=click.echo)
    place = shlex.join(["rankloop", *options.place()])
    click.echo(f"Next: `{place} up` serves the pages and trains.")


@cli.command(example="rankloop up --port 8600")
@HOST
@PORT
@pass_options
def up(options: Options, host: str | None, port: int | None) -> int:
    """Set up if needed, then run web server and worker until Ctrl-C."""
    from ui.cli.tree import run_up

    return run_up(options, host=host, port=port)


@cli.command(example="rankloop serve --host 0.0.0.0")
@HOST
@PORT
@pass_options
def serve(options: Options, host: str | None, port: int | None) -> None:
    """Run the web server."""
    from ui.cli.tree import stop_with_parent
    from ui.web.server import serve as run_server

    stop_with_parent()
    run_server(
        options.settings(host=host, port=port), announce=lambda url: click.echo(f"Open {url}")
    )


@cli.command(example="rankloop worker --once")
@click.option("--once", is_flag=True, help="Fill the task pool, make a round if due, and exit.")
@pass_options
def worker(options: Options, once: bool) -> int:
    """Run the worker: completions for new tasks, and rounds of training."""
    from reward.running.worker import run
    from ui.cli.tree import stop_with_parent
    from ui.database import open_database

    settings = options.settings()
    open_database(settings).dispose()
    stop_with_parent()
    return run(settings, once=once)


@cli.command(example="rankloop simulate --annotators 3 --judgments 60 --preference shorter")
@click.option("--annotators", type=click.IntRange(1, 1000), required=True, help="Accounts to use.")
@click.option("--judgments", type=click.IntRange(0), required=True, help="Rankings to store.")
@click.option("--noise", type=click.FloatRange(0, 0.5), default=0.0, show_default=True,
              help="Probability that a pair's label is flipped.")  # fmt: skip
@click.option("--preference", default="shorter", show_default=True, metavar="NAME",
              callback=_known_preference,
              help="shorter, longer, question, polite, personal, random, keyword:WORD or "
              "FILE.py:FUNCTION (its code is run).")  # fmt: skip
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=None,
    help="Seed (default: the setting seed, 0).",
)
@click.option("--concurrency", type=click.IntRange(1, 64), default=1, show_default=True,
              help="How many work at once; above 1 the order is left to chance.")  # fmt: skip
@click.option("--crash-rate", type=click.FloatRange(0, 1, max_open=True), default=0.0,
              show_default=True, help="Share of submits that lose their client.")  # fmt: skip
@click.option("--abandon-rate", type=click.FloatRange(0, 1, max_open=True), default=0.0,
              show_default=True, help="Share of lent tasks that are never submitted.")  # fmt: skip
@pass_options
def simulate(
    options: Options, annotators: int, judgments: int, noise: float, preference: str,
    seed: int | None, concurrency: int, crash_rate: float, abandon_rate: float,
) -> None:  # fmt: skip
    """Let simulated annotators rank by a hidden preference, to prove the loop without people."""
    from labeling.simulated.busy_simulation import Faults
    from ui.cli.simulated import run_simulation

    plain = concurrency == 1 and not crash_rate and not abandon_rate

    run_simulation(
        options.settings(),
        annotators=annotators,
        judgments=judgments,
        noise=noise,
        preference=preference,
        seed=seed,
        faults=None if plain else Faults(concurrency, crash_rate, abandon_rate),
    )


@cli.command(example="rankloop rounds --json")
@JSON
@click.option("--start", is_flag=True, help="Ask the worker for a round now, then list.")
@pass_options
def rounds(options: Options, as_json: bool, start: bool) -> None:
    """List the rounds of training."""
    from ui.cli.figures import list_rounds

    list_rounds(options.settings(), as_json=as_json, start=start)


@cli.command(example="rankloop stats --by tag")
@JSON
@click.option(
    "--by",
    type=click.Choice(["policy", "tag", "language", "guideline", "week", "criterion"]),
    help="Divide the figures.",
)
@click.option(
    "--from",
    "file",
    type=FILE,
    help="Ratings in a file (CSV, JSONL, Parquet, .gz) instead of the project's: columns "
    "task_id, annotator_id, item, and label or rank; or ranks, a list.",
)
@click.option(
    "--level",
    type=click.Choice(["nominal", "ordinal", "interval", "ratio"]),
    default="nominal",
    show_default=True,
    help="Of the labels in the file.",
)
@pass_options
def stats(
    options: Options, as_json: bool, by: str | None, file: Path | None, level: str
) -> None:  # fmt: skip
    """Show agreement, with 95 % intervals, and what each annotator has done."""
    from ui.cli.stats import show_breakdown, show_file_stats, show_stats

    if file is not None:
        if by is not None:
            raise click.UsageError("--by divides the project's figures; a file has none of that.")
        show_file_stats(file, level=level, as_json=as_json)
    elif by is not None:
        show_breakdown(options.settings(), by=by, as_json=as_json)
    else:
        show_stats(options.settings(), as_json=as_json)


@cli.command(example="rankloop reliability --json")
@JSON
@click.option("--most", type=click.IntRange(0), default=10, show_default=True,
              help="Disputed tasks, likely label errors and circles to list.")  # fmt: skip
@pass_options
def reliability(options: Options, as_json: bool, most: int) -> None:
    """Show how far each annotator can be relied on, and where disagreement comes from."""
    from ui.cli.reliability import show_reliability

    show_reliability(options.settings(), as_json=as_json, most=most)


@cli.command(example="rankloop doctor --json")
@JSON
@pass_options
def doctor(options: Options, as_json: bool) -> int:
    """Check that everything needed is there and in order; exits 1 if not."""
    from ui.cli.doctor import report

    return report(options.settings(), as_json=as_json)


account.add_command(roles)
cli.add_command(account)
cli.add_command(import_)
cli.add_command(policies)
cli.add_command(complete)
cli.add_command(train)
cli.add_command(evaluate)
cli.add_command(queue)
cli.add_command(tasks)
cli.add_command(guidelines)
cli.add_command(gold)
cli.add_command(labeling)
cli.add_command(models)
cli.add_command(withdraw)
cli.add_command(export)
cli.add_command(snapshot)
cli.add_command(webhook)
cli.add_command(events)
cli.add_command(audit)
cli.add_command(privacy)
cli.add_command(backup)
cli.add_command(restore)
cli.add_command(db)
