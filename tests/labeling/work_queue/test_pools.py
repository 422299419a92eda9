import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.work_queue.pools import evenly_ready, pool_of, set_pool
from labeling.work_queue.tasks import ready_tasks_by_pool
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, PoolMember, Project, Role, Task
from tests.labeling.stage import Stage, set_stage


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
    join(stage, "cleo", "law")
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
        assert [one.account_id for one in session.exec(select(PoolMember))] == [
            stage.account("cleo")
        ]


def join(stage: Stage, name: str, pool: str) -> None:
    with writing(stage.engine) as session:
        session.add(
            PoolMember(project_id=stage.project_id, account_id=stage.account(name), pool=pool)
        )


def stamped(stage: Stage, *texts: str) -> list[str]:
    """Add tasks; return their pools."""
    task_ids = [stage.add_task(text, k=2) for text in texts]
    with reading(stage.engine) as session:
        return [session.get_one(Task, task_id).pool for task_id in task_ids]


def ready(stage: Stage) -> dict[str, int]:
    with reading(stage.engine) as session:
        return ready_tasks_by_pool(session, project_id=stage.project_id)


@pytest.fixture
def all_for_law(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project)
    stage.change("assignment", pool_shares={"law": 1.0})
    with reading(engine) as session:
        stage.project = session.get_one(Project, stage.project_id)
    return stage


def test_a_pool_that_nobody_works_in_is_kept_nothing(all_for_law: Stage) -> None:
    stage = all_for_law
    assert stamped(stage, "t0") == [""]
    join(stage, "ann", "law")
    assert stamped(stage, "t1") == ["law"]
    assert ready(stage) == {"": 1, "law": 1}
    with writing(stage.engine) as session:
        ann = session.get_one(Account, stage.account("ann"))
        ann.active = False
        session.add(ann)
    assert stamped(stage, "t2") == [""]
    assert ready(stage) == {"": 2}, "what was kept to it waits for nobody"


def test_a_pool_is_kept_no_more_than_its_share_of_the_ready_tasks(all_for_law: Stage) -> None:
    stage = all_for_law
    join(stage, "ann", "law")
    stage.project.labeling = {"assignment": {"pool_shares": {"law": 0.999}}}
    stamped(stage, "t0", "t1", "t2")
    stage.project.labeling = {"assignment": {"pool_shares": {"law": 0.4, "medicine": 0.6}}}
    # Whichever is drawn: law has more than its share, and nobody works in medicine.
    assert stamped(stage, "t3", "t4") == ["", ""]


@pytest.mark.parametrize(
    ("ready", "counted"),
    [
        ({"": 14, "law": 6}, 20),
        ({"": 0, "law": 6}, 0),
        ({"": 7, "law": 6}, 10),
        ({"": 14, "law": 0}, 14),
        ({"": 5}, 5),
        ({"": 0, "law": 4, "art": 0}, 0),
        ({"": 2, "law": 3, "art": 5}, 10),
        ({"": 0}, 0),
    ],
)
def test_tasks_that_pile_up_in_a_pool_are_not_counted(ready: dict[str, int], counted: int) -> None:
    shares = {"law": 0.3, "art": 0.5}
    project = Project(id=1, name="p", labeling={"assignment": {"pool_shares": shares}})
    assert evenly_ready(project, ready) == counted
