import pytest
from sqlalchemy import Engine

from labeling.event_log import EventLog
from labeling.events import record
from storage.engine import reading, writing
from storage.tables import Project


def happen(engine: Engine, project: Project, kind: str, **detail: object) -> None:
    with writing(engine) as session:
        record(session, project_id=project.id, account_id=None, kind=kind, **detail)


def test_the_newest_come_first_and_then_each_that_follows_once(
    engine: Engine, project: Project
) -> None:
    for number in range(5):
        happen(engine, project, "a.happened", number=number)
    log = EventLog(project_id=project.id or 0)
    with reading(engine) as session:
        rows = log.newest(session, most=2)
    assert [row["detail"]["number"] for row in rows] == [3, 4]
    for number in (5, 6):
        happen(engine, project, "a.happened", number=number)
        with reading(engine) as session:
            assert [row["detail"]["number"] for row in log.following(session)] == [number]
            assert log.following(session) == []


def test_an_event_that_commits_late_follows_all_the_same(postgres_engine: Engine) -> None:
    with writing(postgres_engine) as session:
        project = Project(name="default")
        session.add(project)
    happen(postgres_engine, project, "first.happened")
    log = EventLog(project_id=project.id or 0)
    with reading(postgres_engine) as session:
        log.newest(session, most=1)
    with writing(postgres_engine) as slow:
        record(slow, project_id=project.id, account_id=None, kind="slow.happened")
        slow.flush()
        happen(postgres_engine, project, "fast.happened")
        with reading(postgres_engine) as session:
            assert [row["kind"] for row in log.following(session)] == ["fast.happened"]
    with reading(postgres_engine) as session:
        assert [row["kind"] for row in log.following(session)] == ["slow.happened"]


@pytest.mark.parametrize("most", [0, 1])
def test_kinds_may_be_named(sqlite_engine: Engine, sqlite_project: Project, most: int) -> None:
    happen(sqlite_engine, sqlite_project, "round.advanced", state="done")
    happen(sqlite_engine, sqlite_project, "other.happened")
    log = EventLog(project_id=sqlite_project.id or 0, kinds=["round.advanced"])
    with reading(sqlite_engine) as session:
        rows = log.newest(session, most=most)
    assert [row["tells"] for row in rows] == [["round.published"]] * most
