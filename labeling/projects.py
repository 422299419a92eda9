"""Create and find projects."""

from functools import cache
from typing import Any

from sqlalchemy import bindparam, update
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.work_queue.queues import QUEUED_KINDS
from storage.errors import BadInput, Conflict, NotFound
from storage.settings import Settings
from storage.tables import Project, Task, TaskStatus

# What a project takes from the settings and may change later.
CHANGEABLE = ("completions_per_task", "overlap", "system_prompt")


def create_project(session: Session, *, name: str, settings: Settings) -> Project:
    """Store a new project with K, overlap and system prompt of `settings`.

    Raises `BadInput` on an empty or too long name, `Conflict` where the name is taken.
    """
    if not name.strip() or len(name) > 100:
        raise BadInput("A project's name must have 1 to 100 characters.")
    if session.exec(select(Project.id).where(Project.name == name)).first() is not None:
        raise Conflict(f"There is a project named {name} already; choose another name.")
    project = Project(
        name=name,
        completions_per_task=settings.completions_per_task,
        overlap=settings.overlap,
        system_prompt=settings.system_prompt,
    )
    session.add(project)
    session.flush()
    record(session, project_id=project.id, account_id=None, kind="project.created", name=name)
    return project


def change_project(
    session: Session, *, project: Project, settings: Settings
) -> dict[str, tuple[Any, Any]]:
    """Give a project those of its settings that were given (not defaults): field → (old, new).

    They hold for the tasks to come. A higher overlap holds for the tasks that are ready, too; a
    lower one does not, as some may be lent or judged more often than it allows.
    """
    changes = {
        name: (getattr(project, name), getattr(settings, name))
        for name in CHANGEABLE
        if name in settings.model_fields_set and getattr(settings, name) != getattr(project, name)
    }
    if not changes:
        return {}
    for name, (_, new) in changes.items():
        setattr(project, name, new)
    session.add(project)
    if "overlap" in changes:
        session.execute(
            update(Task)
            .where(
                col(Task.project_id) == project.id,
                col(Task.status) == TaskStatus.READY,
                col(Task.kind).in_(QUEUED_KINDS),
                col(Task.overlap) < project.overlap,
            )
            .values(overlap=project.overlap)
        )
    record(session, project_id=project.id, account_id=None, kind="project.changed", **changes)
    return changes


def get_project(session: Session, *, name: str) -> Project:
    """Return the project named `name`; raise `NotFound` saying how to make it."""
    project: Project | None = session.exec(_named_statement(), params={"name": name}).first()
    if project is None:
        raise NotFound(f"There is no project named {name}; run `rankloop init` to make it.")
    return project


@cache
def _named_statement() -> Any:
    return select(Project).where(col(Project.name) == bindparam("name"))
