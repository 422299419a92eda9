"""A round whose policy is moved by one of TRL's trainers: published, and seen while it moves."""

import pytest
from sqlmodel import Session, col, select

from reward.generation.pool import PoolFiller
from reward.running import loop
from reward.running.lease import Lease
from reward.running.runtime import Runtime
from storage.engine import build_engine, reading
from storage.settings import Settings, load_settings
from storage.tables import RoundPoint, RoundState
from tests.reward.conftest import TRAINING
from tests.reward.held_lease import held_lease

STEPS = 3
SIZES = {"steps": STEPS, "prompts": 2, "generations": 2, "pairs": 4, "micro_batch": 2}


def with_optimizer(settings: Settings, optimizer: str) -> Settings:
    return load_settings(
        **settings.model_dump(exclude={"training"}, exclude_unset=True),
        training=TRAINING | {"optimizer": {**SIZES, "optimizer": optimizer}},
    )


@pytest.mark.parametrize("optimizer", ["rloo", "dpo", pytest.param("grpo", marks=pytest.mark.slow)])
def test_a_lead_sees_each_update_while_it_trains(
    judged: Settings, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_optimizer(judged, optimizer)
    runtime = Runtime(build_engine(settings.url), settings)
    report, seen = loop.report_progress, list[tuple[str, int]]()

    def reported(session: Session, *, lease: Lease, doing: str) -> None:
        report(session, lease=lease, doing=doing)
        there = session.exec(select(RoundPoint).where(RoundPoint.state == RoundState.PPO)).all()
        if doing.startswith("round 1: ppo "):
            seen.append((doing.removeprefix("round 1: ppo "), len(there)))

    monkeypatch.setattr(loop, "report_progress", reported)
    one = loop.Loop(runtime, held_lease(runtime), PoolFiller(runtime)).run_round_if_due()
    assert one is not None and one.state is RoundState.DONE, one
    # Stored with each update, not at the end: so many points were there when it was told.
    assert seen == [(f"{step}/{STEPS}", step) for step in range(1, STEPS + 1)]
    assert one.metrics["ppo_iterations"] == STEPS
    with reading(runtime.engine) as session:
        points = session.exec(
            select(RoundPoint)
            .where(RoundPoint.state == RoundState.PPO)
            .order_by(col(RoundPoint.step_index))
        ).all()
    assert all("loss/policy_avg" in point.metrics for point in points)
    if optimizer != "dpo":
        assert all("objective/scores" in point.metrics for point in points)
