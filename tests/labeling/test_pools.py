import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.pools import pool_of, set_pool
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, PoolMember, Project, Role, Task
from tests.labeling.stage import set_stage


def test_each_pool_gets_its_share_of_new_tasks() -> None:
    project = Project(
        id=1, name="p", labeling={"assignment": {"pool_shares": {"law": 0.2, "medicine": 0.3}}}
    )
    drawn = [pool_of(project, prompt_id=number, policy_id=1) for number in range(4000)]
    assert drawn == [pool_of(project, prompt_id=number, policy_id=1) for number in range(4000)]
    for pool, share in (("law", 0.2), ("medicine", 0.3), ("", 0.5)):
        assert drawn.count(pool) / len(drawn) == pytest.approx(share, abs=0.03)


def test_a_new_task_is_stamped_and_an_annotator_is_in_one_pool(
    sqlite_engine: Engine, sqlite_project: Project
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project)
    stage.change("assignment", pool_shares={"law": 1.0})
    with reading(sqlite_engine) as session:
        stage.project = session.get_one(Project, stage.project_id)
    task_id = stage.add_task("t", k=2)
    assert stage.next("ann") is None
    with writing(sqlite_engine) as session:
        assert session.get_one(Task, task_id).pool == "law"
        ann = session.get_one(Account, stage.account("ann"))
        lead = Account(name="lead", role=Role.LEAD)
        session.add(lead)
        session.flush()
        for pool in ("medicine", "law"):
            set_pool(session, project=stage.project, account=ann, pool=pool, by=lead)
        with pytest.raises(NotAllowed):
            set_pool(session, project=stage.project, account=ann, pool="", by=ann)
    assert stage.lend("ann").task_id == task_id
    with writing(sqlite_engine) as session:
        set_pool(session, project=stage.project, account=ann, pool="", by=lead)
    with reading(sqlite_engine) as session:
        assert session.exec(select(PoolMember)).all() == []
