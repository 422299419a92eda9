"""`rankloop doctor`: is everything there and in order? Each check says what it found."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import click
from sqlmodel import func, select

from storage.engine import reading
from storage.errors import RankloopError
from storage.settings import Settings
from storage.tables import Judgment, Policy, Project, Prompt, Row, Task
from ui.cli import checks
from ui.cli.frame import DONE, FAILED
from ui.database import open_database

COUNTED: dict[str, tuple[type[Row], Any]] = {
    "prompts": (Prompt, Prompt.project_id),
    "tasks": (Task, Task.project_id),
    "judgments": (Judgment, Judgment.project_id),
    "policies": (Policy, Policy.project_id),
}


@dataclass(frozen=True)
class Check:
    """Hold what one check found."""

    name: str
    ok: bool
    detail: str


def report(settings: Settings, *, as_json: bool) -> int:
    """Run the checks and print them; return 1 if one of them is not ok."""
    found = [_run(name, check, settings) for name, check in checks.ALL.items()]
    device = checks.device(settings)
    found.append(Check("device", *device))
    ok = all(each.ok for each in found)
    counts = _counts(settings)
    if as_json:
        content = {
            "ok": ok,
            "checks": [asdict(each) for each in found],
            "device": device[1],
            "counts": counts,
        }
        click.echo(json.dumps(content, indent=2))
        return DONE if ok else FAILED
    for each in found:
        click.echo(f"{'ok   ' if each.ok else 'WRONG'} {each.name:<11} {each.detail}")
    click.echo("      counts      " + ", ".join(f"{count} {of}" for of, count in counts.items()))
    return DONE if ok else FAILED


def _run(name: str, check: Callable[[Settings], str], settings: Settings) -> Check:
    try:
        return Check(name, True, check(settings))
    except RankloopError as error:
        return Check(name, False, str(error))
    except Exception as error:  # A check that breaks is a finding; the others still run.
        return Check(name, False, f"{type(error).__name__}: {error}")


def _counts(settings: Settings) -> dict[str, int]:
    """Count the project's rows; zeros where the database cannot be read (a check says why)."""
    try:
        with reading(open_database(settings)) as session:
            project = session.exec(
                select(Project.id).where(Project.name == settings.project)
            ).first()
            return {
                name: session.exec(
                    select(func.count()).select_from(table).where(column == project)
                ).one()
                for name, (table, column) in COUNTED.items()
            }
    except Exception:
        return dict.fromkeys(COUNTED, 0)
