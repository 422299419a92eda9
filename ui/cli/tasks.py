"""`rankloop queue` and `rankloop tasks`: what waits to be judged, and changing it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from storage.plurals import counted, form
from ui.cli.frame import Command, Group, Options, pass_options

if TYPE_CHECKING:
    from sqlmodel import Session

    from labeling.work_queue.queue import Change, TaskChoice

STATUSES = click.Choice(["ready", "done", "review", "withdrawn"])


@click.command(cls=Command, example="rankloop queue --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@pass_options
def queue(options: Options, as_json: bool) -> None:
    """Count the tasks that are ready, leased, done, stale or in review, for each overlap."""
    from labeling.work_queue.queue import queue as rows_of
    from storage.engine import reading
    from ui.cli.frame import project_of
    from ui.database import open_database

    settings = options.settings()
    with reading(open_database(settings)) as session:
        project = project_of(session, settings)
        rows = [asdict(row) for row in rows_of(session, project_id=project.id or 0)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo("No task yet; the worker adds them.")
    for row in [] if as_json else rows:
        click.echo(
            f"overlap {row['overlap']:<3} {row['ready']:>8} ready ({row['stale']} of an older "
            f"policy)  {row['leased']:>5} leased  {row['done']:>8} done  {row['review']:>5} in "
            f"review  {row['withdrawn']:>6} withdrawn"
        )


@click.group(cls=Group, example="rankloop tasks withdraw --policy 1 --reason 'too old' --dry-run")
def tasks() -> None:
    """Change what waits to be judged."""


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which tasks are meant."""
    for option in reversed(
        (
            click.option(
                "--id", "ids", type=int, multiple=True, help="Task by number; repeatable."
            ),
            click.option("--policy", "version", type=int, help="Tasks of this policy version."),
            click.option(
                "--put-aside-by", "name", metavar="NAME", help="Tasks that NAME skipped or flagged."
            ),
            click.option("--status", type=STATUSES, help="Tasks in this state."),
            click.option("--reason", required=True, help="Why; it is kept in the record."),
            click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        )
    ):
        command = option(command)
    return command


@tasks.command("requeue", example="rankloop tasks requeue --status review --reason 'solved'")
@_choosing
@click.option("--more", type=click.IntRange(0, 100), default=0, show_default=True,
              help="Annotators wanted besides; opens tasks that are done.")  # fmt: skip
@pass_options
def requeue(options: Options, /, more: int, reason: str, dry_run: bool, **chosen: Any) -> None:
    """Make tasks ready again, also for those who skipped or flagged them."""
    from labeling.work_queue import queue as queue_room
    from ui.cli.frame import shell_account

    def act(session: "Session", project_id: int, choice: "TaskChoice") -> "Change":
        return queue_room.requeue(
            session, project_id=project_id, choice=choice, by=shell_account(), reason=reason,
            more=more, dry_run=dry_run,
        )  # fmt: skip

    done = _change(options, chosen, act)
    would = "would be" if dry_run else form(len(done.changed), "is", "are")
    click.echo(
        f"{_tasks(done.changed)} {would} ready again, and open again to annotators who put them "
        f"aside ({counted(done.reopened, 'time')}); {done.unfit:,} "
        f"{form(done.unfit, 'stays as it is', 'stay as they are')}: nothing was to be changed, "
        "nobody more is wanted (see --more), a copy of them has a known answer, or a lead decided "
        "them, who takes that back on the page Review."
    )


@tasks.command("withdraw", example="rankloop tasks withdraw --policy 1 --reason 'old' --dry-run")
@_choosing
@pass_options
def withdraw(options: Options, /, reason: str, dry_run: bool, **chosen: Any) -> None:
    """Take tasks out of the queue; their judgments stay, and tasks lent right now are left."""
    from labeling.work_queue import queue as queue_room
    from ui.cli.frame import shell_account

    def act(session: "Session", project_id: int, choice: "TaskChoice") -> "Change":
        return queue_room.withdraw(
            session, project_id=project_id, choice=choice, by=shell_account(), reason=reason,
            dry_run=dry_run,
        )  # fmt: skip

    done = _change(options, chosen, act)
    would = "would be" if dry_run else form(len(done.changed), "is", "are")
    click.echo(
        f"{_tasks(done.changed)} {would} withdrawn; {done.held:,} "
        f"{form(done.held, 'is', 'are')} lent right now and {done.unfit:,} "
        f"{form(done.unfit, 'waits', 'wait')} for nobody: those stay as they are."
    )


def _tasks(ids: list[int]) -> str:
    """Return "3 tasks (4, 5, 9)", with the first ten numbers."""
    listed = ", ".join(map(str, ids[:10])) + (", …" if len(ids) > 10 else "")
    return counted(len(ids), "task") + (f" ({listed})" if ids else "")


def account_named(session: "Session", name: str) -> int:
    """Return the id of the account with that name; raise `NotFound` where there is none."""
    from sqlmodel import select

    from storage.errors import NotFound
    from storage.tables import Account

    found = session.exec(select(Account.id).where(Account.name == name)).first()
    if found is None:
        raise NotFound(f"There is no account {name}; `rankloop stats` lists those who have judged.")
    return found


def _refuse_unknown(session: "Session", project_id: int, version: int | None) -> None:
    """Raise `NotFound` where the project has no policy of that version."""
    from sqlmodel import select

    from storage.errors import NotFound
    from storage.tables import Policy

    if version is None:
        return
    here = select(Policy.id).where(Policy.project_id == project_id, Policy.version == version)
    if session.exec(here).first() is None:
        raise NotFound(f"There is no policy version {version}; see `rankloop policies list`.")


def _change(
    options: Options,
    chosen: dict[str, Any],
    act: "Callable[[Session, int, TaskChoice], Change]",
) -> "Change":
    if not chosen["ids"] and all(chosen[part] is None for part in ("version", "name", "status")):
        raise click.UsageError("Say which tasks: --id, --policy, --put-aside-by or --status.")
    from labeling.work_queue.queue import TaskChoice
    from storage.engine import writing
    from storage.tables import TaskStatus
    from ui.cli.frame import project_of
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        project = project_of(session, settings)
        _refuse_unknown(session, project.id or 0, chosen["version"])
        name = chosen["name"]
        choice = TaskChoice(
            ids=chosen["ids"] or None,
            policy_version=chosen["version"],
            put_aside_by=account_named(session, name) if name else None,
            status=TaskStatus(chosen["status"]) if chosen["status"] else None,
        )
        return act(session, project.id or 0, choice)
