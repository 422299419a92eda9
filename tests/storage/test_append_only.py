"""Events stay as they were written: the database itself refuses all but taking a person out."""

import json
from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import Engine, Executable, delete, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select

from labeling.events import record
from storage.engine import build_engine, reading, writing
from storage.migrate import alembic_config, migrating, upgrade
from storage.tables import Event

GONE = {"personal": None}


@pytest.fixture
def filled(engine: Engine) -> Engine:
    with writing(engine) as session:
        record(
            session,
            project_id=None,
            account_id=None,
            kind="account.created",
            personal={"name": "ada"},
            created_id=1,
        )
        record(session, project_id=None, account_id=None, kind="task.leased", task_id=3)
    return engine


def _refused(engine: Engine, statement: Executable) -> None:
    with (
        pytest.raises(DBAPIError, match="events are append-only"),
        writing(engine) as session,
    ):
        session.execute(statement)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "other"},
        {"detail": {"created_id": 2}},
        {"personal": {"name": "eve"}},
        {"audited": False, **GONE},
        {"account_id": None, "kind": "x", **GONE},
        {"id": 100, **GONE},
        {"detail": {}, **GONE},
    ],
)
def test_no_event_is_changed(filled: Engine, values: dict[str, object]) -> None:
    _refused(filled, update(Event).where(col(Event.kind) == "account.created").values(values))


def test_nothing_is_added_to_an_event_afterwards(filled: Engine) -> None:
    _refused(
        filled,
        update(Event).where(col(Event.kind) == "task.leased").values(personal={"name": "eve"}),
    )


def test_no_event_is_deleted(filled: Engine) -> None:
    _refused(filled, delete(Event))
    if filled.dialect.name == "postgresql":
        _refused(filled, text("TRUNCATE event CASCADE"))
    with reading(filled) as session:
        assert len(session.exec(select(Event)).all()) == 2


def test_what_tells_of_a_person_can_be_taken_out(filled: Engine) -> None:
    with writing(filled) as session:
        session.execute(update(Event).values(GONE))
    with reading(filled) as session:
        rows = session.exec(select(Event).order_by(col(Event.id))).all()
    assert [(row.kind, row.detail, row.personal) for row in rows] == [
        ("account.created", {"created_id": 1}, None),
        ("task.leased", {"task_id": 3}, None),
    ]


@pytest.fixture
def third_release(empty_url: str) -> Iterator[Engine]:
    """Return a database of revision 0003 with events as that release wrote them."""
    with migrating(empty_url) as connection:
        command.upgrade(alembic_config(connection), "0003")
        for kind, detail in (
            ("account.created", {"created_id": 1, "name": "ada"}),
            ("task.flagged", {"task_id": 3, "reason": "Call me: 555", "flags": []}),
            ("judgment.stored", {"task_id": 3}),
            ("round.opened", {"round": 1, "state": "queued", "reason": "requested by ada"}),
        ):
            connection.execute(
                text(
                    "INSERT INTO event (kind, detail, created_at) "
                    "VALUES (:kind, :detail, '2026-03-01 12:00:00')"
                    if connection.dialect.name == "sqlite"
                    else "INSERT INTO event (kind, detail, created_at) "
                    "VALUES (:kind, CAST(:detail AS JSONB), '2026-03-01 12:00:00+00')"
                ),
                {"kind": kind, "detail": json.dumps(detail)},
            )
    engine = build_engine(empty_url)
    yield engine
    engine.dispose()


def test_events_of_earlier_releases_come_along(third_release: Engine) -> None:
    upgrade(third_release.url.render_as_string(hide_password=False), backup=False)
    with reading(third_release) as session:
        rows = session.exec(select(Event).order_by(col(Event.id))).all()
    assert [(row.audited, row.detail, row.personal) for row in rows] == [
        (True, {"created_id": 1}, {"name": "ada"}),
        (False, {"task_id": 3, "flags": []}, {"reason": "Call me: 555"}),
        (False, {"task_id": 3}, None),
        (False, {"round": 1, "state": "queued"}, {"reason": "requested by ada"}),
    ]
    _refused(third_release, delete(Event))


def test_the_way_back_gives_the_earlier_release_its_events(third_release: Engine) -> None:
    url = third_release.url.render_as_string(hide_password=False)
    upgrade(url, backup=False)
    with migrating(url) as connection:
        command.downgrade(alembic_config(connection), "0003")
        found = connection.execute(text("SELECT kind, detail FROM event ORDER BY id")).all()
        details = [json.loads(detail) if isinstance(detail, str) else detail for _, detail in found]
        assert details[0] == {"created_id": 1, "name": "ada"}
        assert details[3] == {"round": 1, "state": "queued", "reason": "requested by ada"}
        connection.execute(text("DELETE FROM event"))
    upgrade(url, backup=False)
