"""A home opened from Python: its settings, its database, its project."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from labeling.keys import key_of
from labeling.projects import get_project
from labeling.statistics.known_judgments import kept_on_disk
from storage.engine import reading
from storage.opening import open_database
from storage.settings import Settings, load_settings
from storage.tables import Project


@dataclass(frozen=True)
class OpenedHome:
    """What every other function is given: `reading(home.engine)` opens a session, and so on."""

    settings: Settings
    engine: Engine
    project: Project

    @property
    def project_id(self) -> int:
        """Return the project's key."""
        return key_of(self.project)

    @property
    def folder(self) -> Path:
        """Return the folder of database, checkpoints and snapshots."""
        return self.settings.home


def open_home(folder: Path | str | None = None, *, project: str | None = None) -> OpenedHome:
    """Open a home that `rankloop init` made; nothing is made or changed.

    Without a folder or a project's name those of the settings are taken (`RANKLOOP_HOME`,
    `RANKLOOP_PROJECT`, `rankloop.toml`). Raises `BadInput` where a setting does not fit,
    `Unavailable` where there is no database or one of another version, `NotFound` where there is no
    such project.
    """
    settings = load_settings(home=Path(folder) if folder is not None else None, project=project)
    engine = open_database(settings)
    kept_on_disk(engine, settings.home / "judgments")
    with reading(engine) as session:
        found = get_project(session, name=settings.project)
    return OpenedHome(settings, engine, found)
