"""The commands of snapshots: freeze, list, show and compare."""

from datetime import datetime
from typing import Any

import click

from ui.cli.frame import Group, Options, pass_options
from ui.cli.withdrawals import Moment

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
_CREATE = (
    "rankloop snapshot create --name spring --since 2026-03-01 --min-agreement 0.6 "
    "--consolidation dawid_skene"
)
_SHARE = click.FloatRange(0, 1)


@click.group(cls=Group, example=_CREATE)
def snapshot() -> None:
    """Freeze judgments for training and export; list, show and compare what was frozen."""


@snapshot.command("create", example=_CREATE)
@click.option("--name", default="", help="Name to find it by.")
@click.option("--since", type=Moment(),
              help="Judgments from this time on; UTC without a zone.")  # fmt: skip
@click.option("--until", type=Moment(),
              help="Judgments before this time; UTC without a zone.")  # fmt: skip
@click.option("--round", "rounds", type=click.IntRange(0), multiple=True,
              help="Completions of this round's policy; 0: the first policy. May be "
              "repeated.")  # fmt: skip
@click.option("--policy", "policies", type=int, multiple=True,
              help="Tasks whose completions are all of this version. May be repeated.")  # fmt: skip
@click.option("--criterion", "criteria", multiple=True,
              help="Judgments that answer this criterion. May be repeated.")  # fmt: skip
@click.option("--annotator", "annotators", multiple=True,
              help="Judgments of this account. May be repeated.")  # fmt: skip
@click.option("--without-annotator", "not_annotators", multiple=True,
              help="No judgments of this account. May be repeated.")  # fmt: skip
@click.option("--models", type=click.Choice(["out", "taken", "in"]),
              help="Model annotators: none, on tasks that they took, or all (default: as the "
              "project trains).")  # fmt: skip
@click.option("--no-decisions", is_flag=True,
              help="Keep the judgments of tasks that a lead decided, and not the "
              "decision.")  # fmt: skip
@click.option("--min-judgments", type=click.IntRange(1), help="Judgments that a task must have.")
@click.option("--min-agreement", type=_SHARE, help="Pairwise agreement of a task's judgments.")
@click.option("--min-reliability", type=_SHARE, help="Reliability weight of an annotator.")
@click.option("--reliability", is_flag=True,
              help="Measure annotators' reliability: in every row, and in the "
              "consolidation.")  # fmt: skip
@click.option("--consolidation",
              type=click.Choice(["none", "majority", "dawid_skene", "bradley_terry",
                                 "plackett_luce", "ranked_pairs"]),
              help="How a task's judgments become one label.")  # fmt: skip
@click.option("--ties", type=click.Choice(["keep", "drop-all-tied", "drop-any-tied"]),
              help="Rankings with ties: keep (the default), or leave out.")  # fmt: skip
@JSON
@pass_options
def snapshot_create(
    options: Options, /, name: str, since: datetime | None, until: datetime | None,
    as_json: bool, no_decisions: bool, **given: Any,
) -> None:  # fmt: skip
    """Freeze what the options ask for; the same question on the same data gives the same hash.

    Every judgment that stays out is counted under its reason. Judgments themselves never change.
    """
    from ui.cli.snapshot_reports import create

    asked = {field: value for field, value in given.items() if value not in (None, (), False)}
    for field, time in (("since", since), ("until", until)):
        if time is not None:
            asked[field] = time
    if no_decisions:
        asked["decisions"] = False
    create(options.settings(), asked, name=name, as_json=as_json)


@snapshot.command("list", example="rankloop snapshot list --json")
@JSON
@pass_options
def snapshot_list(options: Options, as_json: bool) -> None:
    """List the snapshots, and the rounds that trained on them."""
    from ui.cli.snapshot_reports import show_list

    show_list(options.settings(), as_json=as_json)


@snapshot.command("show", example="rankloop snapshot show 3")
@click.argument("which", metavar="ID")
@JSON
@pass_options
def snapshot_show(options: Options, which: str, as_json: bool) -> None:
    """Show snapshot ID (or its name): what was asked, what it holds, what stayed out."""
    from ui.cli.snapshot_reports import show_one

    show_one(options.settings(), which, as_json=as_json)


@snapshot.command("diff", example="rankloop snapshot diff 2 3")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@JSON
@pass_options
def snapshot_diff(options: Options, first: str, second: str, as_json: bool) -> None:
    """Say what snapshot B has otherwise than A: the question, the code, the judgments."""
    from ui.cli.snapshot_reports import show_diff

    show_diff(options.settings(), first, second, as_json=as_json)
