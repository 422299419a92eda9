"""A claim holds what it takes and nothing else: others find the rest at the same instant."""

from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session

from labeling.work_queue.assignment import AssignedTask, next_assignment
from storage.engine import reading, writing
from storage.tables import PoolMember, Project, Task
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(postgres_engine: Engine) -> Stage:
    with writing(postgres_engine) as session:
        project = Project(name="claims")
        session.add(project)
    stage = set_stage(postgres_engine, project, overlap=2)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    for name in ("ann", "bob"):
        stage.account(name)
    return stage


def ask(stage: Stage, session: Session, name: str) -> AssignedTask | None:
    return next_assignment(
        session, project_id=stage.project_id, annotator_id=stage.account(name), minutes=5
    )


@pytest.mark.parametrize("strategy", ["priority", "breadth", "depth"])
def test_a_member_of_a_pool_holds_one_task_of_the_two_queues(stage: Stage, strategy: str) -> None:
    stage.change("assignment", strategy=strategy)
    pooled, common = stage.add_task("a", k=2), stage.add_task("b", k=2)
    with writing(stage.engine) as session:
        session.get_one(Task, pooled).pool = "medicine"
        session.add(
            PoolMember(
                project_id=stage.project_id, account_id=stage.account("ann"), pool="medicine"
            )
        )
    with writing(stage.engine) as session:
        taken = ask(stage, session, "ann")
        assert taken is not None and taken.task_id == pooled
        assert stage.lend("bob").task_id == common


def test_breadth_compares_two_tasks_and_holds_one(stage: Stage) -> None:
    stage.change("assignment", strategy="breadth")
    tasks = [stage.add_task(text, k=2) for text in "ab"]
    for name in ("cleo", "dan"):
        stage.judge(name, [1, 2])
    with writing(stage.engine) as session:
        session.get_one(Task, tasks[0]).overlap = 3
    stage.lend("eve")
    with writing(stage.engine) as session:
        taken = ask(stage, session, "ann")
        assert taken is not None
        (other,) = set(tasks) - {taken.task_id}
        assert stage.lend("bob").task_id == other


def test_a_task_that_anothers_claim_holds_is_waited_for_where_it_is_the_last(stage: Stage) -> None:
    last = stage.add_task("a", k=2)
    with ThreadPoolExecutor(2) as others:
        with writing(stage.engine) as session:
            assert ask(stage, session, "ann") is not None
            stage.account("cleo")
            asked = others.submit(stage.next, "bob")
            sleep(0.3)
            assert not asked.done()
        found = asked.result(timeout=30)
    assert found is not None and found.task_id == last
    assert stage.next("cleo") is None, "both places are taken"


@pytest.mark.parametrize("strategy", ["priority", "breadth", "depth"])
def test_postgresql_plans_a_look_once_a_connection(stage: Stage, strategy: str) -> None:
    stage.change("assignment", strategy=strategy)
    for number in range(12):
        stage.add_task(f"t{number}", k=2)
    for _ in range(12):
        stage.judge("ann", [1, 2])
    with reading(stage.engine) as session:
        prepared = session.connection().execute(
            text(
                "SELECT custom_plans, generic_plans FROM pg_prepared_statements "
                "WHERE statement LIKE '%task.kind IN (''ordinary'', ''arena'')%'"
            )
        )
        plans = prepared.all()
    assert plans
    assert all(custom == 0 and generic > 0 for custom, generic in plans)
