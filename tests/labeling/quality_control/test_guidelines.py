from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.quality_control.guidelines import (
    difference,
    guideline_readers,
    guideline_versions,
    guidelines_in_force,
    guidelines_to_read,
    last_read,
    mark_read,
    publish_guidelines,
    unread_guidelines,
)
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed, NotFound
from storage.tables import Account, Event, GuidelineReading, Project, Role
from tests.labeling.stage import set_stage
from tests.sample_rows import add_account


@pytest.fixture
def lead(engine: Engine, project: Project) -> Account:
    del project
    return add_account(engine, "lena", role=Role.LEAD)


def publish(engine: Engine, project: Project, by: Account | None, text: str) -> int:
    with writing(engine) as session:
        return publish_guidelines(
            session, project=session.merge(project), by=by, text=text, note="why"
        ).version


def test_a_new_version_is_in_force_and_the_old_one_stays(
    engine: Engine, project: Project, lead: Account
) -> None:
    assert publish(engine, project, lead, "Be kind.\r\n") == 1
    assert publish(engine, project, lead, "Be kind. Be brief.") == 2
    with reading(engine) as session:
        in_force = guidelines_in_force(session, project_id=project.id or 0)
        assert in_force is not None and in_force.version == 2
        found = guideline_versions(session, project_id=project.id or 0)
        assert [(one.version, one.text) for one in found] == [
            (2, "Be kind. Be brief."),
            (1, "Be kind."),
        ]
        events = session.exec(select(Event.detail).where(Event.kind == "guidelines.published"))
        assert [event["version"] for event in events] == [1, 2]


@pytest.mark.parametrize(
    ("text", "words"), [("Be kind. ", "already"), (" \n", "empty"), ("x" * 100_001, "too long")]
)
def test_what_is_no_new_text_is_refused(
    engine: Engine, project: Project, lead: Account, text: str, words: str
) -> None:
    publish(engine, project, lead, "Be kind.")
    with pytest.raises(BadInput, match=words):
        publish(engine, project, lead, text)


def test_an_annotator_may_not_publish(engine: Engine, project: Project) -> None:
    annotator = add_account(engine, "ann")
    with pytest.raises(NotAllowed):
        publish(engine, project, annotator, "Everything is fine.")


def test_a_version_is_unread_until_its_reader_says_so(
    engine: Engine, project: Project, lead: Account
) -> None:
    add_account(engine, "bob")
    annotator = add_account(engine, "ann")
    own = {"project_id": project.id or 0, "account_id": annotator.id or 0}
    with writing(engine) as session:
        assert unread_guidelines(session, **own) is None
    publish(engine, project, lead, "Be kind.")
    with writing(engine) as session:
        unread = unread_guidelines(session, **own)
        assert unread is not None and unread.version == 1
        mark_read(session, **own, version=1)
        mark_read(session, **own, version=1)
        assert unread_guidelines(session, **own) is None
        assert len(session.exec(select(GuidelineReading)).all()) == 1
        with pytest.raises(NotFound):
            mark_read(session, **own, version=2)
    publish(engine, project, lead, "Be brief.")
    with reading(engine) as session:
        unread = unread_guidelines(session, **own)
        assert unread is not None and unread.version == 2
        readers = guideline_readers(session, project_id=project.id or 0)
        assert [(one.name, one.version) for one in readers] == [("ann", 1), ("bob", None)]
        assert last_read(session, **own) == 1


def test_two_tabs_that_say_it_at_once_say_it_once(
    engine: Engine, project: Project, lead: Account
) -> None:
    annotator = add_account(engine, "ann")
    own = {"project_id": project.id or 0, "account_id": annotator.id or 0}
    publish(engine, project, lead, "Be kind.")

    def say_it() -> None:
        with writing(engine) as session:
            mark_read(session, **own, version=1)

    with ThreadPoolExecutor(1) as other_tab:
        with writing(engine) as session:
            mark_read(session, **own, version=1)
            other = other_tab.submit(say_it)
            sleep(0.5)
            assert not other.done(), "it takes its turn"
        other.result(timeout=30)
    with reading(engine) as session:
        assert len(session.exec(select(GuidelineReading)).all()) == 1
        told = session.exec(select(Event).where(Event.kind == "guidelines.read")).all()
        assert len(told) == 1


def test_a_difference_shows_both_sides() -> None:
    assert difference("a\nb\nc", "a\nB\nc").splitlines()[1:] == [" a", "-b", "+B", " c"]
    assert difference("a", "a") == ""
    assert difference("-- old\nb", "b\n++ new").splitlines()[1:] == ["--- old", " b", "+++ new"]


def test_who_has_a_task_at_hand_may_end_it_first(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project)
    stage.add_task("t", k=2)
    publish(engine, project, None, "Be kind.")
    own = {"project_id": stage.project_id, "account_id": stage.account("ann")}

    def to_read() -> bool:
        with reading(engine) as session:
            return guidelines_to_read(session, **own) is not None

    assert to_read()
    task = stage.lend("ann")
    assert not to_read()
    stage.submit("ann", task, [1, 2], "n")
    assert to_read()
