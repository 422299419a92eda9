"""Rounds, as words or as JSON, and what figures look like in JSON."""

import json
from typing import Any

import click

from labeling.rounds import request_round, round_summaries
from storage.engine import reading, writing
from storage.plurals import form
from storage.settings import Settings
from ui.cli.frame import project_of, shell_account
from ui.cli.policies import win_words
from ui.database import open_database
from ui.json_values import plain

__all__ = ["list_rounds", "plain"]


def list_rounds(settings: Settings, *, as_json: bool, start: bool) -> None:
    """Print the rounds, oldest first; with `start`, ask for one before."""
    engine = open_database(settings)
    with writing(engine) if start else reading(engine) as session:
        project = project_of(session, settings)
        assert project.id is not None
        if start:
            request_round(session, project_id=project.id, account=shell_account())
        rounds = round_summaries(session, project_id=project.id)
    if as_json:
        click.echo(json.dumps(plain(rounds), indent=2))
    elif not rounds:
        click.echo("No round yet; the worker starts one when enough judgments have come.")
    else:
        for each in rounds:
            click.echo(_line(each))


def _line(one: dict[str, Any]) -> str:
    seconds = "" if one["seconds"] is None else f"  {one['seconds']:.0f} s"
    version = "" if one["policy_version"] is None else f"  policy {one['policy_version']}"
    wins = "" if one["human_win_rate"] is None else f"  {win_words(one)}"
    noun = form(one["judgments"], "judgment", "judgments")
    return (
        f"round {one['number']:<3} {one['state']:<9} {one['judgments']:>6,} {noun:<9}"
        f"{version}{seconds}{wins}  ({one['reason']})"
    )
