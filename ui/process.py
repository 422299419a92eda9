"""What every page of one web process shares: its settings, its one engine, its project."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from sqlalchemy import Engine
from sqlmodel import Session

from labeling.keys import key_of
from labeling.projects import get_project
from labeling.statistics.known_judgments import kept_on_disk
from storage.engine import build_engine, reading_through_a_cut
from storage.engine import reading as reading_once
from storage.engine import writing as writing_once
from storage.settings import Settings, load_settings
from storage.tables import Project
from ui.database import lost_told, retried

Answer = TypeVar("Answer")


@dataclass
class _Process:
    settings: Settings | None = None
    engine: Engine | None = None
    project_id: int | None = None
    lock: Lock = field(default_factory=Lock)


_process = _Process()


def configure(settings: Settings) -> None:
    """Give the process its settings; an engine built from older ones is closed."""
    global _process
    # A thread that is still busy with the older ones keeps what it finds in theirs.
    before, _process = _process, _Process(settings)
    with before.lock:
        if before.engine is not None:
            before.engine.dispose()


def settings() -> Settings:
    """Return the settings in force, read from the environment where `configure` was not called."""
    return _settings(_process)


def engine() -> Engine:
    """Return the one engine of the process: a rerun is a new thread, so nothing is per thread."""
    held = _process
    with held.lock:
        if held.engine is None:
            given = _settings(held)
            held.engine = build_engine(given.url)
            kept_on_disk(held.engine, given.home / "judgments")
        return held.engine


def project_id() -> int:
    """Return the key of that project, which never changes; raise `NotFound` as `project` does."""
    held = _process
    if held.project_id is None:
        held.project_id = key_of(project())
    return held.project_id


def _settings(held: _Process) -> Settings:
    if held.settings is None:
        held.settings = load_settings()
    return held.settings


def project() -> Project:
    """Return the project that the pages show; raise `NotFound` where it has not been made."""
    return look_up(lambda session: get_project(session, name=settings().project))


def look_up(question: Callable[[Session], Answer]) -> Answer:
    """Return what a session that only reads finds; a cut connection is noticed by nobody.

    Raises `NoDatabase` where the database does not answer again and again.
    """

    def once() -> Answer:
        with reading_once(engine()) as session:
            return question(session)

    return retried(once)


def reading() -> AbstractContextManager[Session]:
    """Open a session for reading, as pages do while they draw: one cut is noticed by nobody.

    What a page does besides is not done again: only the statement that was cut is.
    """
    return reading_through_a_cut(engine())


@contextmanager
def writing() -> Iterator[Session]:
    """Open a session for a deed of a page; nothing of it is tried again by itself.

    Raises `NoDatabase`, in words for who did it, where its connection is lost.
    """
    with lost_told(), writing_once(engine()) as session:
        yield session
