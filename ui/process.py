"""What every page of one web process shares: its settings, its one engine, its project."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Engine
from sqlmodel import Session

from labeling.keys import key_of
from labeling.projects import get_project
from labeling.statistics.known_judgments import kept_on_disk
from storage.engine import build_engine, reading
from storage.settings import Settings, load_settings
from storage.tables import Project
from ui.database import retried

Answer = TypeVar("Answer")


@dataclass
class _Process:
    settings: Settings | None = None
    engine: Engine | None = None
    project_id: int | None = None


_process = _Process()


def configure(settings: Settings) -> None:
    """Give the process its settings; an engine built from older ones is closed."""
    if _process.engine is not None:
        _process.engine.dispose()
    _process.settings, _process.engine, _process.project_id = settings, None, None


def settings() -> Settings:
    """Return the settings in force, read from the environment where `configure` was not called."""
    if _process.settings is None:
        _process.settings = load_settings()
    return _process.settings


def engine() -> Engine:
    """Return the one engine of the process: a rerun is a new thread, so nothing is per thread."""
    if _process.engine is None:
        _process.engine = build_engine(settings().url)
        kept_on_disk(_process.engine, settings().home / "judgments")
    return _process.engine


def project_id() -> int:
    """Return the key of that project, which never changes; raise `NotFound` as `project` does."""
    if _process.project_id is None:
        _process.project_id = key_of(project())
    return _process.project_id


def project() -> Project:
    """Return the project that the pages show; raise `NotFound` where it has not been made."""
    return look_up(lambda session: get_project(session, name=settings().project))


def look_up(question: Callable[[Session], Answer]) -> Answer:
    """Return what a session that only reads finds; a cut connection is noticed by nobody.

    Raises `NoDatabase` where the database does not answer again and again.
    """

    def once() -> Answer:
        with reading(engine()) as session:
            return question(session)

    return retried(once)
