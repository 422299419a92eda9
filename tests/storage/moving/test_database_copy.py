"""SQLite to PostgreSQL and back: all of it, checked, into an empty database alone."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, create_engine, text
from sqlmodel import col, select

from storage.engine import build_engine, reading, writing
from storage.errors import BadInput, Conflict, Unavailable
from storage.moving import database_copy
from storage.moving.database_copy import copy_database
from storage.tables import Account, Event, Project, Role, Round, Task
from tests.storage.moving.odd_rows import ODD, fill, hashes


def quiet(_words: str, _share: float) -> None:
    return None


@pytest.fixture
def target(engine: Engine, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of the other kind than `engine`."""
    if engine.dialect.name == "postgresql":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "copied.db")
        return f"sqlite:///{tmp_path / 'copied.db'}"
    other: Engine = request.getfixturevalue("postgres_engine")
    return other.url.render_as_string(hide_password=False)


def test_every_row_arrives_as_it_was(engine: Engine, target: str) -> None:
    fill(engine)
    before = hashes(engine)
    told: list[tuple[str, float]] = []
    copied = copy_database(
        engine, target, progress=lambda words, share: told.append((words, share))
    )
    assert {one.name: one.rows for one in copied} == {
        name: found.rows for name, found in before.items()
    }
    assert told[-1] == ("checking counts and hashes", 1.0)
    arrived = build_engine(target)
    after = hashes(arrived)
    assert {name for name in before if before[name] != after[name]} == {"event"}
    with reading(arrived) as session:
        assert session.exec(select(Round.metrics)).one() == ODD
        assert session.exec(select(Round.seed)).one() == 2**62 + 1
        first, second = session.exec(select(Task).order_by(col(Task.id))).all()
        assert first.repeats_id == second.id
        last = session.exec(select(Event).order_by(col(Event.id).desc())).first()
        assert last is not None
        assert (last.kind, last.detail["from"]) == ("database.copied", engine.dialect.name)
    with writing(arrived) as session:
        # A key of its own, behind all that were copied.
        session.add(Account(name="new", role=Role.ANNOTATOR))
    arrived.dispose()


def test_a_database_with_rows_is_refused_and_stays(engine: Engine, target: str) -> None:
    fill(engine)
    copy_database(engine, target, progress=quiet)
    arrived = build_engine(target)
    before = hashes(arrived)
    with pytest.raises(Conflict, match="has rows in account already"):
        copy_database(engine, target, progress=quiet)
    assert hashes(arrived) == before
    arrived.dispose()


def test_a_database_of_something_else_is_refused(sqlite_engine: Engine, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    with create_engine(url).begin() as connection:
        connection.execute(text("CREATE TABLE customers (id INTEGER)"))
    with pytest.raises(Unavailable, match="holds tables that rankloop did not make"):
        copy_database(sqlite_engine, url, progress=quiet)


def test_the_database_in_use_is_no_target(sqlite_engine: Engine) -> None:
    with pytest.raises(BadInput, match="is the one in use"):
        copy_database(sqlite_engine, str(sqlite_engine.url), progress=quiet)


def test_a_judgment_that_comes_in_meanwhile_stops_it(
    sqlite_engine: Engine,
    sqlite_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(sqlite_engine)
    compare = database_copy._compare

    def late(*arguments: Any) -> None:
        compare(*arguments)
        with writing(sqlite_engine) as session:
            session.add(Event(kind="late.one"))

    monkeypatch.setattr(database_copy, "_compare", late)
    shutil.copyfile(sqlite_template, tmp_path / "copy.db")
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    with pytest.raises(Conflict, match="Table event changed while it was copied"):
        copy_database(sqlite_engine, url, progress=quiet)
    arrived = build_engine(url)
    assert not any(found.rows for found in hashes(arrived).values())
    arrived.dispose()


def test_a_row_that_arrives_changed_is_found(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sqlite_engine)
    insert = database_copy._insert

    def careless(writer: Connection, table: Table, batch: list[dict[str, Any]]) -> None:
        if table.name == "judgment":
            batch = [{**row, "milliseconds": row["milliseconds"] + 1} for row in batch]
        insert(writer, table, batch)

    monkeypatch.setattr(database_copy, "_insert", careless)
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    with pytest.raises(Unavailable, match="Table judgment did not arrive as it was"):
        copy_database(sqlite_engine, url, progress=quiet)


@pytest.fixture
def older_file(sqlite_engine: Engine) -> Engine:
    """Return a database that older versions wrote to: they took a NUL."""
    with writing(sqlite_engine) as session:
        session.add_all([Event(kind="odd.stored", detail={"text": [name]}) for name in "abc"])
        session.add_all([Project(name="first"), Project(name="second")])
    return sqlite_engine


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("INSERT INTO event (kind, detail, audited, created_at) SELECT kind, "
         "'{\"text\": [\"a\\u0000b\"]}', audited, created_at FROM event WHERE id = 1",
         "The detail of row 4 of event"),
        ("UPDATE project SET name = 'second' || char(0) WHERE id = 2",
         "The name of row 2 of project"),
    ],
    ids=["JSON", "text"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_a_row_that_postgresql_cannot_hold_is_named(
    older_file: Engine, change: str, named: str, kind: str,
    request: pytest.FixtureRequest, tmp_path: Path,
) -> None:  # fmt: skip
    with older_file.begin() as connection:
        connection.exec_driver_sql(change)
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    if kind == "postgresql":
        other: Engine = request.getfixturevalue("postgres_engine")
        url = other.url.render_as_string(hide_password=False)
    with pytest.raises(Unavailable, match=f"{named} cannot be stored in {kind}"):
        copy_database(older_file, url, progress=quiet)
    arrived = build_engine(url)
    assert not any(found.rows for found in hashes(arrived).values())
    arrived.dispose()
