"""The loop at a glance, from a project's rows."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from labeling.loop_state import LoopState, loop_state
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import NotFound
from storage.tables import (
    Policy,
    PolicyStatus,
    Project,
    Round,
    RoundState,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=2)
    for number in range(3):
        stage.add_task(f"t{number}")
    return stage


def state(stage: Stage, judgments_per_round: int = 10) -> LoopState:
    with reading(stage.engine) as session:
        return loop_state(
            session, project_id=stage.project_id, judgments_per_round=judgments_per_round
        )


def publish(stage: Stage) -> None:
    """Publish version 2 by a round that saw the judgments there are."""
    with writing(stage.engine) as session:
        ended = Round(
            project_id=stage.project_id,
            number=1,
            state=RoundState.DONE,
            base_policy_id=stage.policy.id,
            finished_at=now(),
        )
        session.add(ended)
        session.get_one(Policy, stage.policy.id).status = PolicyStatus.RETIRED
        session.flush()
        session.add(
            Policy(
                project_id=stage.project_id, version=2, parent_id=stage.policy.id,
                round_id=ended.id, status=PolicyStatus.LIVE,
            )
        )  # fmt: skip


def test_before_any_round(stage: Stage) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    found = state(stage)
    assert (found.live, found.until_round, found.judgments_per_round) == (1, 9, 10)
    assert found.rounds == []
    assert [one["version"] for one in found.policies] == [1]
    assert found.live_policy is found.policies[0]
    assert (found.pool.ready, found.pool.stale, found.pool.judged) == (3, 0, 1)


def test_after_a_round_its_judgments_count_no_more_and_older_tasks_are_stale(stage: Stage) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    publish(stage)
    found = state(stage)
    assert (found.live, found.until_round) == (2, 10)
    assert [one["number"] for one in found.rounds] == [1]
    assert (found.rounds[0]["policy_version"], found.rounds[0]["base_policy_version"]) == (2, 1)
    assert found.live_policy["parent"] == 1
    assert found.pool.share == 1.0 and found.pool.mean_age == 1.0
    stage.judge("ann", [1, 2, 3, 4])
    assert state(stage).until_round == 9


def test_more_than_are_needed_leave_none(stage: Stage) -> None:
    for ranks in ([1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 2, 2]):
        stage.judge("ann", ranks)
    assert state(stage, judgments_per_round=2).until_round == 0
    assert state(stage, judgments_per_round=3).until_round == 0
    assert state(stage, judgments_per_round=4).until_round == 1


def test_without_a_live_policy_it_says_so(stage: Stage) -> None:
    with writing(stage.engine) as session:
        session.get_one(Policy, stage.policy.id).status = PolicyStatus.RETIRED
    with pytest.raises(NotFound):
        state(stage)


def test_a_round_is_counted_from_its_own_moment(stage: Stage) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    publish(stage)
    with writing(stage.engine) as session:
        first = session.get_one(Round, 1)
        first.created_at = now() - timedelta(days=1)
    assert state(stage).until_round == 9, "the judgment came after that round was asked for"
