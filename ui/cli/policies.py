"""The commands about policies: which there are, what people think of them, and rolling back."""

import json
from typing import Any

import click

from storage.plurals import counted
from storage.printable import printable
from ui.cli.frame import Group, Options, pass_options, project_of, shell_account


@click.group(cls=Group, invoke_without_command=True, example="rankloop policies --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@click.pass_context
def policies(ctx: click.Context, as_json: bool) -> None:
    """List the policies, add one behind a server, or go back to an older version."""
    if ctx.invoked_subcommand is None:
        _list(ctx.find_object(Options) or Options(), as_json)


@policies.command("list", example="rankloop policies list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@pass_options
def list_(options: Options, as_json: bool) -> None:
    """List every version, with how often people preferred it to the one before it.

    After them come servers, with what they were asked for and what it cost, and imported models.
    """
    _list(options, as_json)


def _list(options: Options, as_json: bool) -> None:
    from labeling.endpoint_policies import outside_policy_summaries
    from labeling.rollback import policy_summaries
    from storage.engine import reading
    from ui.database import open_database

    settings = options.settings()
    with reading(open_database(settings)) as session:
        project = project_of(session, settings)
        assert project.id is not None
        found = policy_summaries(session, project_id=project.id)
        outside = outside_policy_summaries(session, project_id=project.id)
    if as_json:
        click.echo(json.dumps([*({"kind": "local", **one} for one in found), *outside], indent=2))
        return
    for one in found:
        click.echo(_line(one))
    for one in outside:
        click.echo(_outside_line(one))


@policies.command("rollback", example="rankloop policies rollback 3")
@click.argument("version", type=click.IntRange(1))
@pass_options
def rollback(options: Options, version: int) -> None:
    """Make an older VERSION live again, as a new version; a round that is training ends."""
    from labeling.rollback import roll_back
    from storage.engine import writing
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        project = project_of(session, settings)
        assert project.id is not None
        policy = roll_back(session, project_id=project.id, version=version, by=shell_account())
    click.echo(f"Version {version} is live again, as version {policy.version}.")


def _line(one: dict[str, Any]) -> str:
    again = "" if one["again"] is None else f"  version {one['again']} again"
    return f"version {one['version']:<3} {one['status']:<9} {win_words(one)}{again}"


def _outside_line(one: dict[str, Any]) -> str:
    # The version is what `snapshot create --policy` and figures by policy name it by.
    name = printable(one["name"])
    start = f"version {one['version']:<3} {one['kind']:<8} {one['status']:<12} {name}"
    if "used" not in one:
        return start
    used = one["used"]
    return (
        f"{start}: {counted(used['requests'], 'request')} ({used['failed']:,} failed), "
        f"{used['prompt_tokens']} + {used['completion_tokens']} tokens, cost {used['cost']:.4f}"
    )


def win_words(one: dict[str, Any]) -> str:
    """Return the human win rate of a policy or round in words; a dash where nobody was asked."""
    rate = one["human_win_rate"]
    if rate is None:
        return "–"
    return (
        f"wins {rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}] over version "
        f"{rate['over']} (n = {rate['judgments']})"
    )
