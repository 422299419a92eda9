import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.projects import change_project, create_project, get_project
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotFound
from storage.settings import Settings
from storage.tables import Event, Project, Task
from tests.labeling.stage import set_stage


def test_a_project_takes_its_sizes_from_the_settings(engine: Engine) -> None:
    settings = Settings(completions_per_task=6, overlap=3, training={"ppo": {"epochs": 2}})
    with writing(engine) as session:
        create_project(session, name="mine", settings=settings)
    with reading(engine) as session:
        found = get_project(session, name="mine")
    assert (found.completions_per_task, found.overlap) == (6, 3)
    assert found.training == {}, "the process's settings hold them"
    assert found.system_prompt == settings.system_prompt


def test_a_project_changes_only_by_what_was_given(
    engine: Engine, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = set_stage(engine, project)
    stage.add_task("ready", k=2)
    stage.add_task("done", k=2)
    stage.judge("ann", [1, 2])
    monkeypatch.setenv("RANKLOOP_OVERLAP", "3")
    with writing(engine) as session:
        found = get_project(session, name="default")
        changes = change_project(session, project=found, settings=Settings())
        assert changes == {"overlap": (1, 3)}
        assert change_project(session, project=found, settings=Settings()) == {}
    with reading(engine) as session:
        found = get_project(session, name="default")
        assert (found.overlap, found.completions_per_task, found.system_prompt) == (3, 4, "")
        tasks = session.exec(select(Task.status, Task.overlap)).all()
        assert sorted((status.value, overlap) for status, overlap in tasks) == [
            ("done", 1),
            ("ready", 3),
        ]
        (event,) = session.exec(select(Event).where(Event.kind == "project.changed"))
        assert event.detail == {"overlap": [1, 3]}


def test_a_lower_overlap_leaves_ready_tasks_alone(
    sqlite_engine: Engine, sqlite_project: Project
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project, overlap=3)
    stage.add_task("t", k=2)
    with writing(sqlite_engine) as session:
        found = get_project(session, name="default")
        change_project(session, project=found, settings=Settings(overlap=2))
    with reading(sqlite_engine) as session:
        assert session.exec(select(Task.overlap)).all() == [3]


def test_a_missing_project_says_what_to_run(sqlite_engine: Engine) -> None:
    with reading(sqlite_engine) as session, pytest.raises(NotFound, match="rankloop init"):
        get_project(session, name="mine")


def test_a_taken_or_empty_name_is_refused(sqlite_engine: Engine) -> None:
    with writing(sqlite_engine) as session:
        create_project(session, name="mine", settings=Settings())
        with pytest.raises(Conflict, match="mine already"):
            create_project(session, name="mine", settings=Settings())
        with pytest.raises(BadInput, match="1 to 100"):
            create_project(session, name=" ", settings=Settings())
