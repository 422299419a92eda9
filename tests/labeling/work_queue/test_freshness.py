"""Freshness: which tasks of a superseded policy go, which stay, and how stale the pool is."""

from collections import Counter

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.labeling_settings import change_labeling
from labeling.policies import live_policy, replace_live
from labeling.work_queue.freshness import Staleness, staleness, withdraw_stale
from storage.engine import reading, writing
from storage.tables import Policy, PolicyKind, PolicyStatus, Project, Task, TaskKind, TaskStatus
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


def supersede(stage: Stage) -> None:
    with writing(stage.engine) as session:
        live = live_policy(session, project_id=stage.project_id)
        stage.policy = replace_live(
            session, project_id=stage.project_id, parent=live, checkpoint_uri="x", round_id=None
        )


def change(stage: Stage, **values: object) -> None:
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        change_labeling(session, project=project, by=None, section="freshness", values=values)


def withdraw(stage: Stage, ready: int = 8, enough: int = 8) -> int:
    with writing(stage.engine) as session:
        return withdraw_stale(session, project_id=stage.project_id, live_ready=ready, enough=enough)


def statuses(stage: Stage) -> Counter[TaskStatus]:
    with reading(stage.engine) as session:
        return Counter(session.exec(select(Task.status)))


def test_stale_tasks_go_when_the_live_policy_has_enough(stage: Stage) -> None:
    change(stage, kept_share=0.0)
    for number in range(4):
        stage.add_task(f"old {number}")
    assert withdraw(stage) == 0, "nothing is stale yet"
    supersede(stage)
    stage.add_task("new")
    assert withdraw(stage, ready=7) == 0
    assert withdraw(stage) == 4
    assert statuses(stage) == {TaskStatus.WITHDRAWN: 4, TaskStatus.READY: 1}
    assert stage.lend("ann").messages[0]["content"] == "new"


def test_a_task_that_is_lent_stays_until_its_lease_has_ended(stage: Stage) -> None:
    change(stage, kept_share=0.0)
    stage.add_task("lent")
    stage.add_task("free")
    lent = stage.lend("ann")
    supersede(stage)
    assert withdraw(stage) == 1
    assert stage.submit("ann", lent, [1, 2, 3, 4], "nonce").stored
    assert statuses(stage) == {TaskStatus.DONE: 1, TaskStatus.WITHDRAWN: 1}


def test_a_share_is_kept_for_good_and_comes_first(stage: Stage) -> None:
    change(stage, kept_share=0.3)
    for number in range(30):
        stage.add_task(f"old {number}")
    supersede(stage)
    stage.add_task("new")
    gone = withdraw(stage)
    assert 30 - gone == pytest.approx(9, abs=2)
    assert withdraw(stage) == 0, "a second look takes no further part"
    assert stage.lend("ann").messages[0]["content"].startswith("old")


def of_an_import(stage: Stage, task_id: int) -> None:
    with writing(stage.engine) as session:
        source = Policy(
            project_id=stage.project_id,
            version=0,
            kind=PolicyKind.IMPORT,
            status=PolicyStatus.REJECTED,
        )
        session.add(source)
        session.flush()
        session.get_one(Task, task_id).policy_id = source.id or 0


def test_tests_and_imported_completions_are_left_alone(stage: Stage) -> None:
    change(stage, kept_share=0.0)
    gold, imported, ordinary = (stage.add_task(name) for name in ("gold", "imported", "own"))
    with writing(stage.engine) as session:
        session.get_one(Task, gold).kind = TaskKind.GOLD
    of_an_import(stage, imported)
    supersede(stage)
    assert withdraw(stage) == 1
    with reading(stage.engine) as session:
        assert session.get_one(Task, ordinary).status is TaskStatus.WITHDRAWN


def test_it_can_be_switched_off(stage: Stage) -> None:
    change(stage, withdraw=False)
    stage.add_task("old")
    supersede(stage)
    assert withdraw(stage) == 0


def test_staleness_of_the_pool_and_age_of_what_was_judged(stage: Stage) -> None:
    def measured() -> Staleness:
        with reading(stage.engine) as session:
            return staleness(session, stage.project_id)

    assert measured() == Staleness(ready=0, stale=0, share=None, mean_age=None, judged=0)
    for number in range(3):
        stage.add_task(f"old {number}")
    stage.judge("ann", [1, 2, 3, 4])
    supersede(stage)
    stage.add_task("new")
    assert measured() == Staleness(ready=3, stale=2, share=2 / 3, mean_age=1.0, judged=1)
    stage.judge("bob", [1, 2, 3, 4])
    assert measured() == Staleness(ready=2, stale=2, share=1.0, mean_age=0.5, judged=2)
    change(stage, age_of_judgments=1)
    assert measured().mean_age == 0.0


def test_imported_completions_can_be_judged_and_are_behind_nothing(stage: Stage) -> None:
    stage.add_task("own")
    of_an_import(stage, stage.add_task("imported"))
    with reading(stage.engine) as session:
        found = staleness(session, stage.project_id)
    assert (found.ready, found.stale, found.versionless, found.waiting) == (1, 0, 1, 2)
