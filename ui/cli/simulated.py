"""`rankloop simulate`: annotators by a hidden preference; it fills an empty pool itself."""

import sys

import click
from sqlalchemy import Engine

from labeling.policies import live_policy
from labeling.simulated.busy_simulation import Faults
from labeling.simulated.simulation import simulate
from labeling.work_queue.tasks import ready_task_count
from storage.engine import reading
from storage.plurals import counted, form
from storage.settings import Settings
from ui.cli.frame import project_of, stepwise
from ui.database import open_database


def run_simulation(
    settings: Settings,
    *,
    annotators: int,
    judgments: int,
    noise: float,
    preference: str,
    seed: int | None,
    faults: Faults | None,
) -> None:
    """Store simulated judgments and say how many and how fast, and what went wrong on the way."""
    engine = open_database(settings)
    with reading(engine) as session:
        project = project_of(session, settings)
    project_id = project.id
    assert project_id is not None
    result = simulate(
        engine,
        project=project,
        annotators=annotators,
        judgments=judgments,
        noise=noise,
        preference=preference,
        seed=settings.seed if seed is None else seed,
        minutes=settings.assignment_minutes,
        fill_pool=lambda: _fill_pool(engine, settings, project_id, judgments),
        progress=_count,
        faults=faults,
    )
    click.echo(
        f"{counted(result.judgments, 'judgment')} by "
        f"{counted(result.annotators, 'simulated annotator')} in {result.seconds:.1f} s; "
        f"{counted(result.tasks_added, 'task')} {form(result.tasks_added, 'was', 'were')} added "
        "for them."
    )
    if faults is not None:
        click.echo(
            f"Clients lost in the middle of a submit, which sent it again: {result.crashes:,}; "
            f"tasks abandoned until their lease ran out: {result.abandoned:,}."
        )


def _fill_pool(engine: Engine, settings: Settings, project_id: int, judgments: int) -> int:
    from reward.generation.pool import fill_pool

    with reading(engine) as session:
        policy = live_policy(session, project_id=project_id)
        assert policy.id is not None
        ready = ready_task_count(session, project_id=project_id, policy_id=policy.id)
    # Tasks that are ready but closed to these annotators (they ranked or skipped them) are no use.
    wanted = ready + max(1, min(settings.pool_tasks, judgments))
    show = stepwise()
    return fill_pool(
        engine,
        settings,
        wanted=wanted,
        progress=lambda done, total: show("Writing completions for new tasks", done / total),
    )


def _count(done: int, total: int) -> None:
    """Rewrite one line on a terminal; stay quiet in a log."""
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} of {counted(total, 'judgment')}", err=True, nl=done == total)
