"""Migrations on both databases: same tables as the code, data kept, newer versions refused."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, Engine, Integer, inspect
from sqlmodel import select

from storage import migrate
from storage.engine import build_engine, reading, writing
from storage.errors import Unavailable
from storage.migrate import check_version, migrating, newest_revision, upgrade
from storage.migrations.comparison import comparable_on
from storage.tables import Account, Event, Policy, Project, Prompt, Role, Row, Split


def _tables(engine: Engine) -> dict[str, Any]:
    """Describe every table as the database itself reports it, checks and partial indexes too."""
    inspector = inspect(engine)
    described = {}
    for table in inspector.get_table_names():
        if table == "alembic_version":
            continue
        parts = {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"])
                for column in inspector.get_columns(table)
            ],
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": inspector.get_foreign_keys(table),
            "unique": inspector.get_unique_constraints(table),
            "checks": inspector.get_check_constraints(table),
            "indexes": [_plain(index) for index in inspector.get_indexes(table)],
        }
        described[table] = {name: sorted(map(str, part)) for name, part in parts.items()}
    return described


def _plain(index: Any) -> dict[str, Any]:
    # The condition of a partial index is an expression object: only its text can be compared.
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return {**index, "dialect_options": options}


def test_migrations_make_the_tables_of_the_code(empty_url: str) -> None:
    engine = build_engine(empty_url)
    Row.metadata.create_all(engine)
    wanted = _tables(engine)
    Row.metadata.drop_all(engine)
    upgrade(empty_url)
    assert _tables(engine) == wanted, "run: python -m storage.migrations.draft"
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": comparable_on(engine.dialect.name)}
        )
        assert compare_metadata(context, Row.metadata) == []
    engine.dispose()


def test_upgrading_twice_changes_nothing(empty_url: str) -> None:
    engine = build_engine(empty_url)
    upgrade(engine)
    with writing(engine) as session:
        session.add(Account(name="ada", role=Role.ADMIN))
    assert upgrade(engine) is None
    check_version(engine)
    with reading(engine) as session:
        assert session.exec(select(Account.name)).all() == ["ada"]
    engine.dispose()


def test_processes_that_upgrade_at_once_wait_for_each_other(empty_url: str) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            upgrade(empty_url)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    engine = build_engine(empty_url)
    check_version(engine)
    engine.dispose()


def _fill(engine: Engine) -> None:
    with writing(engine) as session:
        project = Project(name="default")
        session.add(project)
        session.flush()
        assert project.id is not None
        session.add(Policy(project_id=project.id, version=1))
        session.add(
            Prompt(
                project_id=project.id,
                messages=[{"role": "user", "content": "Why is the sky blue?"}],
                content_sha256="0" * 64,
                split=Split.TRAIN,
            )
        )


def test_altering_a_table_keeps_the_rows_that_refer_to_it(empty_url: str) -> None:
    upgrade(empty_url)
    engine = build_engine(empty_url)
    _fill(engine)
    engine.dispose()
    with migrating(empty_url) as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("project", recreate="auto") as batch:
            batch.add_column(Column("colour", Integer(), nullable=True))
            batch.alter_column("overlap", new_column_name="wanted")
    engine = build_engine(empty_url)
    with reading(engine) as session:
        assert len(session.exec(select(Policy)).all()) == 1
        assert session.exec(select(Prompt.messages)).one()[0]["content"] == "Why is the sky blue?"
    columns = {column["name"] for column in inspect(engine).get_columns("project")}
    assert {"colour", "wanted"} <= columns
    engine.dispose()


def test_a_migration_that_breaks_a_reference_is_undone(sqlite_engine: Engine) -> None:
    _fill(sqlite_engine)
    with pytest.raises(Unavailable, match="was undone"), migrating(sqlite_engine.url) as connection:
        connection.exec_driver_sql("DELETE FROM project")
    with reading(sqlite_engine) as session:
        assert len(session.exec(select(Project)).all()) == 1


def _set_revision(engine: Engine, revision: str) -> None:
    with writing(engine) as session:
        statement = f"UPDATE alembic_version SET version_num = '{revision}'"
        session.connection().exec_driver_sql(statement)


def test_a_database_of_a_newer_version_is_refused(empty_url: str) -> None:
    engine = build_engine(empty_url)
    upgrade(engine)
    _set_revision(engine, "9999")
    for use in (check_version, upgrade):
        with pytest.raises(Unavailable, match=r"newer rankloop \(revision 9999\)") as caught:
            use(engine)
        assert "\n" not in str(caught.value)
    engine.dispose()


def test_an_empty_database_is_told_to_init(empty_url: str) -> None:
    engine = build_engine(empty_url)
    with pytest.raises(Unavailable, match="rankloop init"):
        check_version(engine)
    engine.dispose()


def test_tables_of_another_program_are_left_alone(empty_url: str) -> None:
    engine = build_engine(empty_url)
    with writing(engine) as session:
        session.connection().exec_driver_sql("CREATE TABLE account (colour TEXT)")
    with pytest.raises(Unavailable, match="did not make"):
        upgrade(engine)
    assert inspect(engine).get_table_names() == ["account"]
    engine.dispose()


def test_a_sqlite_file_is_copied_before_an_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build_engine(f"sqlite:///{tmp_path / 'rankloop.db'}")
    assert upgrade(engine) is None
    with writing(engine) as session:
        session.add(Event(kind="kept"))
    # The next release: one more revision than the file has.
    next_release = tmp_path / "migrations"
    _copy_migrations(next_release)
    monkeypatch.setattr(migrate, "MIGRATIONS", next_release)

    with pytest.raises(Unavailable, match="older rankloop"):
        check_version(engine)
    copy = upgrade(engine)

    assert copy is not None
    check_version(engine)
    assert "colour" in {column["name"] for column in inspect(engine).get_columns("event")}
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT kind FROM event").fetchall() == [("kept",)]
        assert "colour" not in str(connection.execute("PRAGMA table_info(event)").fetchall())
    engine.dispose()


NEXT_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = {down!r}


def upgrade() -> None:
    with op.batch_alter_table("event", recreate="always") as batch:
        batch.add_column(sa.Column("colour", sa.Integer(), nullable=True))
"""


def _copy_migrations(folder: Path) -> None:
    versions = folder / "versions"
    versions.mkdir(parents=True)
    for file in migrate.MIGRATIONS.rglob("*.py"):
        target = folder / file.relative_to(migrate.MIGRATIONS)
        target.write_text(file.read_text())
    (versions / "9000_next.py").write_text(NEXT_REVISION.format(down=newest_revision()))


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "rankloop.db").write_text("hello, this is not a database" * 100)
    with pytest.raises(Unavailable, match="file is not a database") as caught:
        upgrade(f"sqlite:///{tmp_path / 'rankloop.db'}")
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_is_one_sentence() -> None:
    engine = build_engine("postgresql://ada:secret@127.0.0.1:1/loop")
    with pytest.raises(Unavailable, match="cannot be used") as caught:
        check_version(engine)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_downgrading_to_nothing_and_back_works(empty_url: str) -> None:
    upgrade(empty_url)
    with migrating(empty_url) as connection:
        command.downgrade(migrate.alembic_config(connection), "base")
    engine = build_engine(empty_url)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()
