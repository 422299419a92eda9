"""Reading while PostgreSQL ends the connection, between two statements and before the first."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, Executable, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session, select

from storage.core import execute_core, table_of
from storage.engine import build_engine, reading, reading_through_a_cut, writing
from storage.tables import Account
from tests.sample_rows import add_account


@pytest.fixture
def names(postgres_engine: Engine) -> list[str]:
    return [add_account(postgres_engine, name).name for name in ("ann", "bob")]


def cut(connection: Connection, engine: Engine) -> None:
    """End a connection, as an administrator or a restarted database does."""
    driver = connection.connection.driver_connection
    assert driver is not None
    with engine.begin() as own:
        ended = text("SELECT pg_terminate_backend(:pid, 5000)")
        assert own.execute(ended, {"pid": driver.info.backend_pid}).scalar_one()


def accounts() -> Executable:
    return select(Account.name).order_by(Account.name)


@contextmanager
def cut_before_its_end(engine: Engine) -> Iterator[Session]:
    with reading_through_a_cut(engine) as session:
        yield session
        cut(session.connection(), engine)


@pytest.mark.parametrize("core", [False, True])
def test_a_statement_is_asked_again(postgres_engine: Engine, names: list[str], core: bool) -> None:
    with cut_before_its_end(postgres_engine) as session:
        (ann,) = session.exec(select(Account).where(Account.name == "ann")).all()
        for _ in range(2):
            cut(session.connection(), postgres_engine)
            if core:
                table = table_of(Account)
                found = execute_core(session, table.select().order_by(table.c.name))
                assert [row.name for row in found] == names
            else:
                assert list(session.scalars(accounts())) == names
        assert ann.name == "ann", "what was answered before stays"
    assert ann.name == "ann"


def test_what_is_asked_again_writes_nothing(postgres_engine: Engine, names: list[str]) -> None:
    with reading_through_a_cut(postgres_engine) as session:
        cut(session.connection(), postgres_engine)
        assert list(session.scalars(accounts())) == names
        with pytest.raises(DBAPIError, match="read-only"):
            session.execute(text("DELETE FROM account"))
        session.rollback()
    with reading(postgres_engine) as session:
        assert list(session.scalars(accounts())) == names


def test_what_is_written_is_never_asked_again(postgres_engine: Engine, names: list[str]) -> None:
    with pytest.raises(OperationalError), writing(postgres_engine) as session:
        cut(session.connection(), postgres_engine)
        session.scalars(accounts())
    assert len(names) == 2


def test_a_database_that_stays_away_is_told(postgres_engine: Engine, names: list[str]) -> None:
    other = build_engine(postgres_engine.url.render_as_string(hide_password=False))

    def end(connection: Connection) -> None:
        cut(connection, other)

    event.listen(postgres_engine, "begin", end)
    with pytest.raises(OperationalError), reading_through_a_cut(postgres_engine) as session:
        session.scalars(accounts())
    event.remove(postgres_engine, "begin", end)
    other.dispose()
    assert len(names) == 2
