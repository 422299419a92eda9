import pytest
from sqlalchemy import Engine

from labeling.projects import create_project, get_project
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotFound
from storage.settings import Settings


def test_a_project_takes_its_sizes_from_the_settings(engine: Engine) -> None:
    settings = Settings(completions_per_task=6, overlap=3, training={"ppo": {"epochs": 2}})
    with writing(engine) as session:
        create_project(session, name="mine", settings=settings)
    with reading(engine) as session:
        found = get_project(session, name="mine")
    assert (found.completions_per_task, found.overlap) == (6, 3)
    assert found.training == {"ppo": {"epochs": 2}}
    assert found.system_prompt == settings.system_prompt


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
