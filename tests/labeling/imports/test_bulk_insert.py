"""What is inserted many at a time is what SQLAlchemy would have inserted."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, String, cast, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from labeling.imports.bulk_insert import insert_rows
from storage.clock import now
from storage.core import table_of
from storage.engine import reading, writing
from storage.tables import Policy, Project, Prompt, Split


def rows(project: Project, count: int, **values: Any) -> list[dict[str, Any]]:
    empty: list[str] = []
    return [
        {
            "project_id": project.id,
            "messages": [{"role": "user", "content": f"“{number}” is 2³² é 漢 \\ '"}],
            "content_sha256": f"{number:064d}",
            "source": "",
            "license": "",
            "split": (Split.TRAIN, Split.HELDOUT)[number % 2],
            "tags": empty if number % 3 else [f"t{number}"],
            "language": "en",
            "created_at": now() + timedelta(seconds=number),
            **values,
        }
        for number in range(count)
    ]


def stored(session: Session) -> list[tuple[Any, ...]]:
    texts = [
        cast(col(Prompt.messages), String).label("messages as text"),
        cast(col(Prompt.tags), String).label("tags as text"),
    ]
    found = session.execute(
        select(*table_of(Prompt).columns, *texts).order_by(col(Prompt.content_sha256))
    )
    # All but the key, and the text of JSON as the database holds it.
    return [tuple(row)[1:] for row in found]


def test_rows_are_stored_as_sqlalchemy_stores_them(engine: Engine, project: Project) -> None:
    given = rows(project, 7)
    found = []
    for write in (
        lambda session: insert_rows(session, table_of(Prompt), given),
        lambda session: session.connection().execute(table_of(Prompt).insert(), given),
    ):
        with writing(engine) as session:
            write(session)
        with reading(engine) as session:
            found.append(stored(session))
        with writing(engine) as session:
            session.connection().execute(table_of(Prompt).delete())
    assert found[0] == found[1] and len(found[0]) == 7


def test_columns_that_are_not_named_get_their_defaults(engine: Engine, project: Project) -> None:
    with writing(engine) as session:
        insert_rows(
            session,
            table_of(Policy),
            [{"project_id": project.id, "version": one} for one in (1, 2)],
        )
        insert_rows(session, table_of(Policy), [])
    with reading(engine) as session:
        found = session.execute(select(col(Policy.version), col(Policy.status))).all()
        usual = Policy(project_id=1, version=3)
        assert [tuple(row) for row in found] == [(1, usual.status), (2, usual.status)]


def test_equal_places_in_memory_do_not_mix_values_up(
    sqlite_engine: Engine, sqlite_project: Project
) -> None:
    given = rows(sqlite_project, 200)
    for number, row in enumerate(given):
        row["tags"] = [str(number)]
    with writing(sqlite_engine) as session:
        insert_rows(session, table_of(Prompt), given)
        tags = session.execute(select(col(Prompt.tags)).order_by(col(Prompt.content_sha256)))
        assert [row[0] for row in tags] == [[str(number)] for number in range(200)]


@pytest.mark.parametrize("wrong", [{"created_at": "yesterday"}, {"split": "aside"}])
def test_what_a_column_cannot_hold_is_refused(
    sqlite_engine: Engine, sqlite_project: Project, wrong: dict[str, Any]
) -> None:
    refused = pytest.raises((LookupError, AttributeError, TypeError, IntegrityError))
    with refused, writing(sqlite_engine) as session:
        insert_rows(session, table_of(Prompt), rows(sqlite_project, 1, **wrong))
