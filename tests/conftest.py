"""Fixtures shared by every room: real databases of both kinds, a project, a browser."""

import gc
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text

from storage import engine as storage_engine
from storage.engine import build_engine, writing
from storage.migrate import upgrade
from storage.tables import Project
from tests.chromium import find_chromium
from tests.postgres_cluster import PostgresCluster, find_binaries
from tests.requirement import missing
from tests.unflushed_sqlite import configure_unflushed

# Browsers and training first: workers that take whole files then end with the many short ones, and
# none is left alone with a long one.
LONG_FIRST = ("tests/ui/", "tests/reward/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long rooms first, and give a test in a browser one more try, which the report shows."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_FIRST))
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays to the end: modules, and the tests themselves.

    With every library imported, a look at all of it takes a quarter of a second, again and again.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep a developer's own RANKLOOP_HOME out of the tests."""
    monkeypatch.setenv("RANKLOOP_HOME", str(tmp_path / "rankloop-data"))


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put `__main__` back: Streamlit's AppTest leaves its script there, and spawn would run it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(scope="session", autouse=True)
def _unflushed_sqlite() -> Iterator[None]:
    """Spare the SQLite databases of this process the wait for the disk at every commit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage_engine, "_configure_sqlite", configure_unflushed)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """Run one PostgreSQL cluster for the whole session, with the tables in a template database."""
    binaries = find_binaries()
    if binaries is None:
        missing("PostgreSQL", "install the package postgresql")
    with PostgresCluster(binaries) as cluster:
        _administer(cluster, "CREATE DATABASE tables_template")
        engine = build_engine(cluster.url("tables_template"))
        upgrade(engine)
        engine.dispose()
        yield cluster


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with every table and no row, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    engine = build_engine(f"sqlite:///{file}")
    upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return file


@pytest.fixture
def sqlite_engine(tmp_path: Path, sqlite_template: Path) -> Iterator[Engine]:
    """Return an engine on a fresh SQLite file with every table."""
    file = tmp_path / "rankloop.db"
    shutil.copyfile(sqlite_template, file)
    engine = build_engine(f"sqlite:///{file}")
    yield engine
    engine.dispose()


class DatabasesAhead:
    """Databases with every table: one is made, and used ones are dropped, while a test runs."""

    def __init__(self, cluster: PostgresCluster) -> None:
        self._cluster = cluster
        self._maker = ThreadPoolExecutor(max_workers=1)
        self._next: Future[str] = self._maker.submit(self._make)

    def take(self) -> str:
        """Return the name of one that nobody used."""
        name = self._next.result()
        self._next = self._maker.submit(self._make)
        return name

    def give_back(self, name: str) -> None:
        """Drop one."""
        self._maker.submit(_administer, self._cluster, f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Wait for what is under way."""
        self._maker.shutdown()

    def _make(self) -> str:
        name = f"test_{uuid4().hex}"
        source = "TEMPLATE tables_template STRATEGY FILE_COPY"
        _administer(self._cluster, f"CREATE DATABASE {name} {source}")
        return name


@pytest.fixture(scope="session")
def databases_ahead(postgres: PostgresCluster) -> Iterator[DatabasesAhead]:
    """Make the next PostgreSQL database while a test runs."""
    ahead = DatabasesAhead(postgres)
    yield ahead
    ahead.close()


@pytest.fixture
def postgres_engine(postgres: PostgresCluster, databases_ahead: DatabasesAhead) -> Iterator[Engine]:
    """Return an engine on a fresh PostgreSQL database with every table."""
    name = databases_ahead.take()
    engine = build_engine(postgres.url(name))
    yield engine
    engine.dispose()
    databases_ahead.give_back(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return an engine on a fresh database, once on SQLite and once on PostgreSQL."""
    name = "sqlite_engine" if request.param == "sqlite" else "postgres_engine"
    found: Engine = request.getfixturevalue(name)
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database without tables, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    with _fresh_database(request.getfixturevalue("postgres"), template="template1") as url:
        yield url


@pytest.fixture
def project(engine: Engine) -> Project:
    """Return a project stored in `engine`: K = 4, overlap 1."""
    return _add_project(engine)


@pytest.fixture
def sqlite_project(sqlite_engine: Engine) -> Project:
    """Return a project stored in `sqlite_engine`: K = 4, overlap 1."""
    return _add_project(sqlite_engine)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Return the Chromium to give Playwright as `executable_path` (with `--no-sandbox`)."""
    if found := find_chromium():
        return found
    missing("Chromium", "install the package chromium, or run `playwright install chromium`")


def _add_project(engine: Engine) -> Project:
    with writing(engine) as session:
        project = Project(name="default", completions_per_task=4, overlap=1)
        session.add(project)
    return project


@contextmanager
def _fresh_database(cluster: PostgresCluster, *, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    _administer(cluster, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield cluster.url(name)
    _administer(cluster, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(cluster: PostgresCluster, statement: str) -> None:
    engine = create_engine(cluster.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
