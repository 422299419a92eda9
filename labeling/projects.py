"""Create and find projects."""

from sqlmodel import Session, select

from labeling.events import record
from storage.errors import BadInput, Conflict, NotFound
from storage.settings import Settings
from storage.tables import Project


def create_project(session: Session, *, name: str, settings: Settings) -> Project:
    """Store a new project with K, overlap, system prompt and training settings of `settings`.

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
        training=settings.training,
    )
    session.add(project)
    session.flush()
    record(session, project_id=project.id, account_id=None, kind="project.created", name=name)
    return project


def get_project(session: Session, *, name: str) -> Project:
    """Return the project named `name`; raise `NotFound` saying how to make it."""
    project = session.exec(select(Project).where(Project.name == name)).first()
    if project is None:
        raise NotFound(f"There is no project named {name}; run `rankloop init` to make it.")
    return project
