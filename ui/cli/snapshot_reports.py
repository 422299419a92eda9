"""What the commands of snapshots do and print."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
import pandas

from labeling.datasets.code_version import code_version
from labeling.datasets.snapshot_diff import SnapshotDiff, diff_snapshots
from labeling.datasets.snapshot_list import find_snapshot, list_snapshots
from labeling.datasets.snapshot_query import query_of
from labeling.datasets.snapshots import default_query, take_snapshot
from labeling.keys import key_of
from storage.engine import reading
from storage.plurals import counted, form
from storage.printable import printable
from storage.settings import Settings
from storage.tables import Snapshot
from ui.cli.figures import plain
from ui.cli.frame import project_of, stepwise
from ui.database import open_database

_COUNTS = (
    ("judgments", ("judgment", "judgments")),
    ("decisions", ("of them a lead's decision", "of them leads' decisions")),
    ("tasks", ("task", "tasks")),
    ("prompts", ("prompt", "prompts")),
    ("demonstrations", ("demonstration", "demonstrations")),
    ("consolidated", ("consolidated label", "consolidated labels")),
)


def create(settings: Settings, asked: dict[str, Any], *, name: str, as_json: bool) -> None:
    """Freeze what is asked for and print the snapshot."""
    engine = open_database(settings)
    with reading(engine) as session:
        project = project_of(session, settings)
    query = query_of(default_query(project).as_json() | asked)
    made = take_snapshot(
        engine,
        project=project,
        folder=settings.home / "snapshots",
        store=settings.checkpoint_store,
        code_version=code_version(),
        query=query,
        name=name,
        progress=stepwise(),
    )
    _print(made, as_json=as_json)
    if not made.manifest.get("judgments") and not made.manifest.get("demonstrations"):
        click.echo("It is empty: nothing in the project is what was asked for.", err=True)


def show_list(settings: Settings, *, as_json: bool) -> None:
    """Print the snapshots, oldest first."""
    with reading(open_database(settings)) as session:
        project_id = key_of(project_of(session, settings))
        found = list_snapshots(session, project_id=project_id, account=None)
    if as_json:
        click.echo(json.dumps(plain([asdict(each) for each in found]), indent=2))
        return
    if not found:
        click.echo("No snapshot yet; `rankloop snapshot create` makes one, and so does a round.")
    for each in found:
        rounds = f"  round {', '.join(map(str, each.rounds))}" if each.rounds else ""
        name = f"  {printable(each.name)}" if each.name else ""
        noun = form(each.judgments, "judgment", "judgments")
        click.echo(
            f"{each.id:>4}  {each.created_at:%Y-%m-%d %H:%M}  {each.judgments:>8,} {noun:<9}  "
            f"{each.rows_sha256[:12]}{name}{rounds}"
        )


def show_one(settings: Settings, which: str, *, as_json: bool) -> None:
    """Print a snapshot."""
    with reading(open_database(settings)) as session:
        project_id = key_of(project_of(session, settings))
        found = find_snapshot(session, project_id=project_id, which=which)
    _print(found, as_json=as_json)


def show_diff(settings: Settings, first: str, second: str, *, as_json: bool) -> None:
    """Print what tells two snapshots apart."""
    with reading(open_database(settings)) as session:
        project_id = key_of(project_of(session, settings))
        both = [
            find_snapshot(session, project_id=project_id, which=which) for which in (first, second)
        ]
    found = diff_snapshots(*both, home=settings.home)
    if as_json:
        fields = vars(found)
        click.echo(json.dumps(plain(fields), indent=2))
        return
    for line in _diff_lines(found):
        click.echo(line)


def _print(found: Snapshot, *, as_json: bool) -> None:
    if as_json:
        head = {"id": found.id, "name": found.name, "uri": found.uri}
        click.echo(json.dumps(head | found.manifest, indent=2, ensure_ascii=False))
        return
    for line in _lines(found):
        click.echo(line)


def _lines(found: Snapshot) -> Iterator[str]:
    manifest = found.manifest
    named = f" ({printable(found.name)})" if found.name else ""
    yield f"Snapshot {found.id}{named}: {found.uri}, {found.created_at:%Y-%m-%d %H:%M} UTC"
    yield f"SHA-256 of its rows: {found.rows_sha256}"
    yield f"Asked for: {json.dumps(found.query) if found.query else 'all that training may use'}"
    for key, words in _COUNTS:
        if key in manifest:
            number = manifest[key]
            yield f"{number:>8,} {form(number, *words)}"
    excluded = manifest.get("excluded", {})
    out = sum(excluded.values())
    yield f"{out:>8,} {form(out, 'judgment', 'judgments')} stayed out"
    for reason, number in excluded.items():
        yield f"{number:>12,} {reason}"


def _diff_lines(found: SnapshotDiff) -> Iterator[str]:
    if found.same:
        yield f"Snapshots {found.first} and {found.second} hold the same rows."
    for name, (old, new) in found.query.items():
        yield f"asked: {name} {_asked(old)} → {_asked(new)}"
    if found.code_version is not None:
        yield f"code: {' → '.join(found.code_version)}"
    for how, rows in (
        ("more", found.added),
        ("fewer", found.removed),
        ("with other ranks", found.changed),
    ):
        if len(rows):
            noun = form(len(rows), "judgment", "judgments")
            tasks = counted(_count(rows, "task_id"), "task")
            yield f"{len(rows):>8,} {noun} {how}, of {tasks}"
    for reason, number in found.excluded.items():
        yield f"{number:>+8,} {form(abs(number), 'stays', 'stay')} out: {reason}"
    if found.labels_changed is not None:
        differ = form(
            found.labels_changed, "consolidated label differs", "consolidated labels differ"
        )
        yield f"{found.labels_changed:>8,} {differ}"
    old_number, new_number = found.demonstrations
    if old_number != new_number:
        yield f"demonstrations: {old_number} → {new_number}"


def _asked(value: Any) -> str:
    return "(default)" if value is None else json.dumps(value)


def _count(rows: pandas.DataFrame, column: str) -> int:
    return int(rows[column].nunique())
