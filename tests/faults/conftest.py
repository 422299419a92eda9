"""Fixtures of the fault suite: a tiny model, databases that may be killed, a line of the table."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.table import ROW, Row
from tests.postgres_cluster import PostgresCluster, find_binaries
from tests.requirement import missing
from tests.tiny_model import make_tiny_model

Tell = Callable[[Row], None]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the smallest model that trains."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny"), layers=2, hidden=16)


@pytest.fixture
def own_postgres() -> Iterator[PostgresCluster]:
    """Return a PostgreSQL of the test's own, which it may kill."""
    binaries = find_binaries()
    if binaries is None:
        missing("PostgreSQL", "install the package postgresql")
    with PostgresCluster(binaries, connections=100) as cluster:
        yield cluster


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Return what puts a line into the table of `python -m tests.faults`."""
    return lambda row: record_property(ROW, row.as_json())
