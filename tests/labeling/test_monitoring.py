"""The figures that a monitor sees, on both databases."""

from datetime import timedelta

from sqlalchemy import Engine
from sqlmodel import select

from labeling.monitoring import monitored
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import (
    Assignment,
    AssignmentState,
    Project,
    Round,
    RoundPoint,
    RoundState,
    TaskStatus,
    WorkerLease,
)
from tests.sample_rows import add_account, add_judgments, add_policy


def test_an_empty_project_has_every_state_at_nought(engine: Engine, project: Project) -> None:
    with reading(engine) as session:
        found = monitored(session, project_id=project.id or 0)
    assert found.tasks == {state.value: 0 for state in TaskStatus}
    assert found.rounds == {state.value: 0 for state in RoundState}
    assert (found.judgments, found.leased, found.expired, found.live_version) == (0, 0, 0, 0)
    assert found.round is None
    assert found.worker is None


def test_tasks_leases_round_and_worker_are_counted(engine: Engine, project: Project) -> None:
    key = project.id or 0
    policy, ann = add_policy(engine, project, version=4), add_account(engine)
    add_judgments(engine, project, policy, ann, count=5)
    moment = now()
    with writing(engine) as session:
        other = Project(name="other")
        session.add(other)
        lent = session.exec(select(Assignment)).all()[:3]
        for number, each in enumerate(lent):
            each.state = AssignmentState.LEASED
            each.expires_at = moment + timedelta(minutes=-1 if number == 0 else 5)
            session.add(each)
        one = Round(
            project_id=key, number=2, state=RoundState.PPO, created_at=moment - timedelta(hours=1)
        )
        session.add(Round(project_id=key, number=1, state=RoundState.DONE))
        session.add(one)
        session.flush()
        for step in (1, 2):
            session.add(
                RoundPoint(
                    round_id=one.id or 0,
                    state=RoundState.PPO,
                    step_index=step,
                    steps=12,
                    metrics={"objective/scores": step / 10, "objective/kl": step * 2.0},
                )
            )
        session.add(
            WorkerLease(
                project_id=key,
                owner="w",
                epoch=7,
                expires_at=moment + timedelta(seconds=90),
                heartbeat_at=moment - timedelta(seconds=30),
            )
        )
    with reading(engine) as session:
        found = monitored(session, project_id=key)
        elsewhere = monitored(session, project_id=other.id or 0)
    assert (found.judgments, found.leased, found.expired, found.live_version) == (5, 2, 1, 4)
    assert found.tasks["ready"] == 5
    assert (found.rounds["done"], found.rounds["ppo"]) == (1, 1)
    assert found.round is not None
    assert (found.round.number, found.round.step_index, found.round.steps) == (2, 2, 12)
    assert (found.round.reward, found.round.kl) == (0.2, 4.0)
    assert found.round.age is not None
    assert 3600 <= found.round.age < 3660
    assert found.worker is not None
    assert (found.worker.taken, 60 < found.worker.seconds_left <= 90) == (7, True)
    assert 30 <= found.worker.silent < 60
    assert (elsewhere.judgments, elsewhere.leased, elsewhere.round) == (0, 0, None)
