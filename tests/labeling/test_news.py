from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.datasets.snapshots import create_snapshot
from labeling.judging.surroundings import surroundings_of
from labeling.news import Learned
from labeling.review.adjudication import decide, discard
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import (
    Account,
    Policy,
    PolicyStatus,
    Project,
    Role,
    Round,
    RoundState,
    Split,
    Task,
    TaskKind,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project, overlap=2)


def learned(stage: Stage, name: str) -> Learned | None:
    annotator_id = stage.account(name)
    with reading(stage.engine) as session:
        around = surroundings_of(
            session, project_id=stage.project_id, annotator_id=annotator_id, since=now()
        )
        return around.learned


def publish(stage: Stage, version: int, status: PolicyStatus = PolicyStatus.LIVE) -> None:
    """Store a round with its snapshot taken now, and the policy that it published."""
    with writing(stage.engine) as session:
        with TemporaryDirectory() as home:
            snapshot = create_snapshot(
                session, project=stage.project, folder=Path(home) / "snapshots", code_version="x"
            )
        made = Round(
            project_id=stage.project_id,
            number=version - 1,
            state=RoundState.DONE,
            snapshot_id=snapshot.id,
        )
        session.add(made)
        for policy in session.exec(select(Policy).where(Policy.status == PolicyStatus.LIVE)):
            if status == PolicyStatus.LIVE:
                policy.status = PolicyStatus.RETIRED
        session.flush()
        published = now() + timedelta(minutes=5) if status == PolicyStatus.LIVE else None
        session.add(
            Policy(
                project_id=stage.project_id,
                version=version,
                round_id=made.id,
                status=status,
                published_at=published,
            )
        )


def test_there_is_no_news_before_the_first_publish(stage: Stage) -> None:
    stage.add_task("t")
    stage.judge("ann", [1, 2, 3, 4])
    assert learned(stage, "ann") is None


def test_ones_own_judgments_before_the_snapshot_count(stage: Stage) -> None:
    for number in range(3):
        stage.add_task(f"t{number}")
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2, 3, 4], "n1")
    stage.submit("ann", task, [2, 1, 3, 4], "n2")
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [1, 2, 3, 4])
    publish(stage, version=2)
    stage.judge("ann", [1, 2, 3, 4])
    found = learned(stage, "ann")
    assert found is not None and (found.policy_version, found.judgments) == (2, 2)
    assert learned(stage, "cleo") == Learned(2, 0, found.published_at)


def test_the_newest_published_policy_is_told_of(stage: Stage) -> None:
    publish(stage, version=2)
    stage.add_task("t")
    stage.judge("ann", [1, 2, 3, 4])
    publish(stage, version=3)
    publish(stage, version=4, status=PolicyStatus.REJECTED)
    publish(stage, version=5, status=PolicyStatus.CANDIDATE)
    found = learned(stage, "ann")
    assert found is not None and (found.policy_version, found.judgments) == (3, 1)


def test_only_what_was_trained_on_counts(stage: Stage) -> None:
    lena_id = stage.account("lena", Role.LEAD)
    stage.add_task("held out", split=Split.HELDOUT)
    for number in range(5):
        stage.add_task(f"t{number}")
    judged = [stage.judge("ann", [1, 2, 3, 4]) for _ in range(6)]
    with writing(stage.engine) as session:
        lena = session.get_one(Account, lena_id)
        session.get_one(Task, 2).kind = TaskKind.GOLD
        session.get_one(Task, 3).kind = TaskKind.REPEAT
        discarded = judged[3].judgment_id or 0
        discard(session, judgment_id=discarded, by=lena, nonce="a", reason="upside down")
        decide(session, task_id=5, ranks=[1, 1, 1, 1], by=lena, nonce="b", reason="all alike")
    publish(stage, version=2)
    found = learned(stage, "ann")
    assert found is not None and found.judgments == 1
    assert learned(stage, "lena") == Learned(2, 0, found.published_at)


def test_a_correction_after_the_snapshot_takes_nothing_away(stage: Stage) -> None:
    stage.add_task("t")
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2, 3, 4], "n1")
    publish(stage, version=2)
    stage.submit("ann", task, [2, 1, 3, 4], "n2")
    found = learned(stage, "ann")
    assert found is not None and found.judgments == 1
