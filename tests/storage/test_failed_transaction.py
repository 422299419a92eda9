"""What failed is never committed in silence: PostgreSQL would roll it back and report no error."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import func, select

from storage.engine import reading, writing
from storage.errors import Unavailable
from storage.tables import Event


def test_a_swallowed_error_is_no_commit(postgres_engine: Engine) -> None:
    with pytest.raises(Unavailable, match="nothing of it is stored"):  # noqa: SIM117
        with writing(postgres_engine) as session:
            session.add(Event(kind="first"))
            session.flush()
            connection = session.connection()
            with pytest.raises(DBAPIError):
                connection.execute(text("SELECT 1 / 0"))
    with reading(postgres_engine) as session:
        assert session.exec(select(func.count()).select_from(Event)).one() == 0
    with writing(postgres_engine) as session:
        session.add(Event(kind="second"))


def test_a_savepoint_takes_its_error_with_it(postgres_engine: Engine) -> None:
    with writing(postgres_engine) as session:
        session.add(Event(kind="first"))
        with pytest.raises(DBAPIError), session.begin_nested():
            session.connection().execute(text("SELECT 1 / 0"))
    with reading(postgres_engine) as session:
        assert session.exec(select(Event.kind)).all() == ["first"]
