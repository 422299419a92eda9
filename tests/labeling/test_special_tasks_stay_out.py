"""Judgments of gold, qualification and repeated tasks reach no training, export or agreement."""

import pytest
from sqlalchemy import Engine

from labeling.labeling_settings import change_labeling
from labeling.quality_control.known_answers import make_gold
from labeling.rounds import judgments_until_round
from labeling.statistics.quality import quality
from labeling.work_queue.tasks import candidates, ready_task_count
from storage.engine import reading, writing
from storage.tables import Project, Role
from tests.labeling.stage import Stage, set_stage
from tests.labeling.trained_rows import trained_rows


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Return a project where ann and bob have judged t0, t1 and a gold task, and ann a repeat."""
    stage = set_stage(engine, project, overlap=2)
    stage.account("lena", Role.LEAD)
    rates(stage, rate=0.0, repeat_rate=0.0)
    for number in range(2):
        stage.add_task(f"t{number}", k=2)
    for name in ("ann", "bob"):
        for _ in range(2):
            stage.judge(name, [1, 2])
    rates(stage, repeat_rate=1.0, repeat_after=1)
    stage.judge("ann", [2, 1])
    rates(stage, rate=1.0)
    original = stage.add_task("g", k=2)
    with writing(engine) as session:
        make_gold(session, task_id=original, ranks=[1, 2], by=stage.accounts["lena"])
    for name in ("ann", "bob"):
        stage.judge(name, [2, 1])
    stage.add_task("open", k=2)
    return stage


def rates(stage: Stage, **values: float) -> None:
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        change_labeling(session, project=project, by=None, section="gold", values=values)


def test_they_are_judged_but_count_nowhere(stage: Stage) -> None:
    judged = trained_rows(stage.engine, stage.project_id)
    assert len(judged) == 4 and set(map(tuple, judged["ranks"])) == {(1, 2)}
    with reading(stage.engine) as session:
        assert (
            judgments_until_round(session, project_id=stage.project_id, judgments_per_round=9) == 5
        )
        found = quality(session, project_id=stage.project_id, account=stage.accounts["lena"])
        assert (found.judgments, found.pairwise_agreement.value) == (4, 1.0)


def test_the_pool_is_counted_without_them(stage: Stage) -> None:
    with reading(stage.engine) as session:
        # The gold task's original is withdrawn: its answer is known.
        assert ready_task_count(session, project_id=stage.project_id) == 1
        policy_id = stage.policy.id or 0
        waiting = candidates(session, project_id=stage.project_id, policy_id=policy_id, seed=1)
        assert [one.tasks for one in waiting] == [1, 1, 1, 1]
