"""Connections that were cut while nobody used them, and writers that wait for each other."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlmodel import Session, func, select

from storage import connections
from storage.engine import build_engine, reading, writing
from storage.tables import Event, Project

_PID = text("SELECT pg_backend_pid()")
_END = text("SELECT pg_terminate_backend(:pid, 5000)")


def cut(engine: Engine, pid: int) -> None:
    other = build_engine(engine.url.render_as_string(hide_password=False))
    with other.connect() as connection:
        connection.execute(_END, {"pid": pid})
    other.dispose()


def pid_of(engine: Engine) -> int:
    with reading(engine) as session:
        found: int = session.connection().execute(_PID).scalar_one()
    return found


def test_an_idle_connection_that_was_cut_is_opened_anew(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pid_of(postgres_engine)
    cut(postgres_engine, before)
    monkeypatch.setattr(connections, "TRUSTED_SECONDS", 0.0)
    assert pid_of(postgres_engine) != before


def test_a_connection_that_was_just_used_is_not_asked(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    ping = type(postgres_engine.dialect).do_ping

    def noted(dialect: Any, connection: Any) -> bool:
        asked.append(connection)
        return bool(ping(dialect, connection))

    monkeypatch.setattr(type(postgres_engine.dialect), "do_ping", noted)
    pid_of(postgres_engine)
    pid_of(postgres_engine)
    assert asked == []
    monkeypatch.setattr(connections, "TRUSTED_SECONDS", 0.0)
    pid_of(postgres_engine)
    assert len(asked) == 1


def test_writers_of_one_process_need_not_be_patient(sqlite_engine: Engine) -> None:
    """With a busy timeout of 0 SQLite itself refuses whoever comes while another writes."""

    @event.listens_for(sqlite_engine, "connect")
    def impatient(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA busy_timeout = 0")

    sqlite_engine.dispose()

    def write(number: int) -> None:
        with writing(sqlite_engine) as session:
            session.add(Event(kind=f"written.{number}"))
            session.flush()
            time.sleep(0.002)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(40)))
    with reading(sqlite_engine) as session:
        assert _count(session) == 40


def _count(session: Session) -> int:
    return session.exec(select(func.count()).select_from(Event)).one()


def test_a_writer_within_one_that_wrote_nothing_yet_does_not_wait(sqlite_engine: Engine) -> None:
    began = time.monotonic()
    with writing(sqlite_engine) as outer:
        with writing(sqlite_engine) as inner:
            inner.add(Project(name="inner"))
        outer.add(Project(name="outer"))
    assert time.monotonic() - began < 5
    with reading(sqlite_engine) as rows:
        assert sorted(rows.exec(select(Project.name))) == ["inner", "outer"]
