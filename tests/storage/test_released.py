"""Rows of every released version come up to this one: all there, as they were, and read by it."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, DateTime, Engine, MetaData, Table, select, text

from labeling.judging.judgments import current_judgments
from labeling.work_queue.assignment import next_assignment
from storage.engine import build_engine, reading, writing
from storage.migrate import alembic_config, check_version, migrating, upgrade
from storage.moving.row_hashes import TableHash, canonical, tables
from storage.tables import Account, Policy, PolicyStatus, Project, Row

RELEASED = Path(__file__).parent / "released"
# What a later version keeps elsewhere, in another form: table → column → where it is now.
MOVED = {"project": {"guidelines": "guideline_version", "criteria": "project.labeling"}}


def revisions() -> list[str]:
    """Return every revision but the newest, which is not released before another follows it."""
    script = ScriptDirectory.from_config(alembic_config(None))
    return sorted(each.revision for each in script.walk_revisions())[:-1]


def test_each_released_revision_has_its_rows_here() -> None:
    missing = [each for each in revisions() if not (RELEASED / f"{each}.json").exists()]
    assert not missing, f"run python -m tests.storage.released.dump on a database of {missing}"


Fingerprints = dict[str, TableHash]


@pytest.fixture(params=revisions())
def released(request: pytest.FixtureRequest, empty_url: str) -> tuple[str, Fingerprints, MetaData]:
    """Return a database of a released version with its rows: URL, hashes, tables as they were."""
    with migrating(empty_url) as connection:
        command.upgrade(alembic_config(connection), request.param)
    rows = json.loads((RELEASED / f"{request.param}.json").read_text(encoding="utf-8"))
    engine = build_engine(empty_url)
    with engine.connect().execution_options(rankloop_write=True) as connection:
        before = MetaData()
        before.reflect(connection)
        before.remove(before.tables["alembic_version"])
        empty = set(before.tables) - set(rows)
        assert not empty, f"no row of {sorted(empty)}; write one into {request.param}.json"
        for table in before.sorted_tables:
            _insert(connection, table, rows[table.name])
        connection.commit()
        prints = {table.name: _hash(connection, table) for table in before.tables.values()}
    engine.dispose()
    return empty_url, prints, before


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    moments = [column.name for column in table.columns if isinstance(column.type, DateTime)]
    for row in rows:
        read = {name: datetime.fromisoformat(row[name]) for name in moments if row.get(name)}
        connection.execute(table.insert(), {**row, **read})
    if connection.dialect.name == "postgresql" and "id" in table.columns:
        # Keys that were given by hand do not move the sequence on.
        sequence = f"pg_get_serial_sequence('\"{table.name}\"', 'id')"
        connection.execute(text(f'SELECT setval({sequence}, (SELECT max(id) FROM "{table.name}"))'))


def _hash(connection: Connection, table: Table) -> TableHash:
    """Hash the rows in the columns that the released version knew and this one still has."""
    found, today = TableHash(), Table(table.name, MetaData(), autoload_with=connection)
    gone = MOVED.get(table.name, {})
    columns = [today.columns[each.name] for each in table.columns if each.name not in gone]
    apart = today.columns.get("personal") if table.name == "event" else None
    for row in connection.execute(select(*columns, *([] if apart is None else [apart]))).mappings():
        known = {column.name: row[column.name] for column in columns}
        if apart is not None:
            # What can be erased of a deed stands beside it since 0004.
            known["detail"] = {**known["detail"], **(row["personal"] or {})}
        found.add(canonical(known))
    return found


@pytest.fixture
def upgraded(
    released: tuple[str, Fingerprints, MetaData],
) -> Iterator[tuple[Engine, Fingerprints, MetaData]]:
    url, prints, before = released
    upgrade(url)
    engine = build_engine(url)
    yield engine, prints, before
    engine.dispose()


def test_every_row_is_kept_as_it_was_and_this_version_works_with_it(
    upgraded: tuple[Engine, Fingerprints, MetaData],
) -> None:
    engine, prints, before = upgraded
    check_version(engine)
    with engine.connect() as connection:
        for table in before.tables.values():
            assert _hash(connection, table) == prints[table.name], table.name
    _read_every_row(engine, prints)
    _work_on(engine)


def _read_every_row(engine: Engine, prints: Fingerprints) -> None:
    classes = {mapper.class_.__table__.name: mapper.class_ for mapper in _mappers()}
    with reading(engine) as session:
        for table in tables():
            rows = session.exec(select(classes[table.name])).scalars().all()
            if table.name in prints:
                assert len(rows) >= prints[table.name].rows


def _mappers() -> list[Any]:
    return list(Row._sa_registry.mappers)


def _work_on(engine: Engine) -> None:
    """Freeze the judgments and lend a task, as a round and an annotator do."""
    with writing(engine) as session:
        project = session.exec(select(Project)).scalars().one()
        assert project.id is not None
        live = select(Policy).where(Policy.status == PolicyStatus.LIVE)
        assert session.exec(live).scalars().one().version >= 1
        judged = current_judgments(session, project_id=project.id)
        assert judged
        newcomer = Account(name="a newcomer", role="annotator")
        session.add(newcomer)
        session.flush()
        next_assignment(session, project_id=project.id, annotator_id=newcomer.id or 0, minutes=5)
