"""A whole round on the tiny model: published, rejected, failed, and what each leaves behind."""

from dataclasses import replace

import pytest
import torch
from sqlmodel import select

from labeling.rounds import round_summaries
from labeling.work_queue.tasks import ready_task_count
from reward.generation.pool import PoolFiller
from reward.running.lease import LeaseLost
from reward.running.loop import STEPS, Loop
from reward.running.runtime import Runtime
from reward.steps.outcome import CannotTrain, StepContext, StepOutcome
from storage.blobs import verify
from storage.engine import build_engine, reading, writing
from storage.settings import Settings
from storage.tables import (
    Judgment,
    Policy,
    PolicyStatus,
    Round,
    RoundPoint,
    RoundState,
    Snapshot,
    Task,
    TaskStatus,
)
from tests.reward.held_lease import held_lease


def _loop(settings: Settings) -> Loop:
    runtime = Runtime(build_engine(settings.url), settings)
    return Loop(runtime, held_lease(runtime), PoolFiller(runtime))


def _summary(loop: Loop) -> dict:
    with reading(loop.runtime.engine) as session:
        return round_summaries(session, project_id=loop.runtime.project_id)[-1]


def test_a_round_publishes_a_policy_whose_lineage_is_whole(judged: Settings) -> None:
    loop = _loop(judged)
    one = loop.run_round_if_due()
    assert one is not None and one.state is RoundState.DONE, one
    with reading(loop.runtime.engine) as session:
        old, new = session.exec(select(Policy).order_by(Policy.version)).all()  # type: ignore[arg-type]
        snapshot = session.get_one(Snapshot, one.snapshot_id)
        points = session.exec(select(RoundPoint)).all()
    assert (old.status, new.status) == (PolicyStatus.RETIRED, PolicyStatus.LIVE)
    assert (new.version, new.parent_id, new.round_id) == (2, old.id, one.id)
    verify(judged.home, new.checkpoint_uri)
    assert snapshot.rows_sha256 == one.metrics["snapshot_sha256"]
    assert {point.state for point in points} == {
        RoundState.REWARD,
        RoundState.PPO,
        RoundState.EVALUATE,
    }
    assert one.settings["ppo"]["iterations"] == 2
    computed = {"float32": torch.float32, "bfloat16": torch.bfloat16}[one.settings["dtype"]]
    assert computed == loop.runtime.backbone.output_weight.dtype
    summary = _summary(loop)
    assert summary["policy_version"] == 2
    assert summary["judgments"] == 30
    assert {"reward_accuracy", "win_rate", "kl", "reward", "tokens"} <= set(summary["metrics"])


def test_the_next_tasks_carry_the_new_policys_completions(judged: Settings) -> None:
    loop = _loop(judged)
    loop.run_round_if_due()
    assert loop.pool.fill(2) == 2
    with reading(loop.runtime.engine) as session:
        live = session.exec(select(Policy).where(Policy.status == PolicyStatus.LIVE)).one()
        newest = session.exec(select(Task).order_by(Task.id.desc())).first()  # type: ignore[union-attr]
    assert newest is not None and newest.policy_id == live.id


def test_no_second_round_without_new_judgments(judged: Settings) -> None:
    loop = _loop(judged)
    assert loop.run_round_if_due() is not None
    assert loop.run_round_if_due() is None


def test_a_reward_model_at_chance_is_rejected_and_nothing_is_published(judged: Settings) -> None:
    strict = {**judged.training, "gate": {**judged.training["gate"], "min_accuracy": 0.999}}
    loop = _loop(judged.model_copy(update={"training": strict}))
    one = loop.run_round_if_due()
    assert one is not None and one.state is RoundState.REJECTED
    assert "accuracy on unseen comparisons" in one.reason
    assert "policy" not in one.artefacts, "PPO is not even begun"
    with reading(loop.runtime.engine) as session:
        assert [p.version for p in session.exec(select(Policy))] == [1]


def test_a_policy_that_does_not_win_is_rejected(judged: Settings) -> None:
    strict = {**judged.training, "gate": {**judged.training["gate"], "min_win_rate": 0.999}}
    one = _loop(judged.model_copy(update={"training": strict})).run_round_if_due()
    assert one is not None and one.state is RoundState.REJECTED
    assert "win rate over the live policy" in one.reason
    assert one.metrics["samples"]


def test_all_ties_fail_with_their_reason_and_labeling_goes_on(judged: Settings) -> None:
    loop = _loop(judged)
    with writing(loop.runtime.engine) as session:
        for judgment in session.exec(select(Judgment)):
            judgment.ranks = [1] * len(judgment.ranks)
            session.add(judgment)
    one = loop.run_round_if_due()
    assert one is not None and one.state is RoundState.FAILED
    assert "all ties" in one.reason
    assert loop.runtime.live_policy()[0].version == 1
    assert loop.run_round_if_due() is None, "the same judgments are not tried again"


def test_annotators_get_tasks_while_a_round_runs(judged: Settings) -> None:
    loop = _loop(judged)
    with writing(loop.runtime.engine) as session:
        for task in session.exec(select(Task).where(Task.status == TaskStatus.READY)):
            task.status = TaskStatus.WITHDRAWN
            session.add(task)
    loop.run_round_if_due()
    with reading(loop.runtime.engine) as session:
        first = session.exec(select(Policy).where(Policy.version == 1)).one()
        ready = ready_task_count(
            session, project_id=loop.runtime.project_id, policy_id=first.id or 0
        )
    assert ready >= 8


def test_a_worker_that_lost_its_lease_cannot_commit_a_step(
    judged: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = _loop(judged)

    def another_takes_over(context: StepContext) -> StepOutcome:
        loop.lease = replace(loop.lease, epoch=loop.lease.epoch - 1)
        return StepOutcome()

    monkeypatch.setitem(STEPS, RoundState.SNAPSHOT, another_takes_over)  # type: ignore[arg-type]
    with pytest.raises(LeaseLost):
        loop.run_round_if_due()
    with reading(loop.runtime.engine) as session:
        assert session.exec(select(Round)).one().state is RoundState.SNAPSHOT


def test_a_step_that_cannot_train_fails_the_round_alone(
    judged: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(context: StepContext) -> StepOutcome:
        raise CannotTrain("The reward model's loss is not a finite number.")

    monkeypatch.setitem(STEPS, RoundState.REWARD, cannot)  # type: ignore[arg-type]
    one = _loop(judged).run_round_if_due()
    assert one is not None and (one.state, one.reason) == (
        RoundState.FAILED,
        "The reward model's loss is not a finite number.",
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_fails_the_round_with_what_to_do(
    judged: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def too_large(context: StepContext) -> StepOutcome:
        raise error

    monkeypatch.setitem(STEPS, RoundState.SNAPSHOT, too_large)  # type: ignore[arg-type]
    one = _loop(judged).run_round_if_due()
    assert one is not None and one.state is RoundState.FAILED
    assert one.reason.startswith("There is not enough memory; lower the sizes under training")


def test_a_pool_that_fails_does_not_fail_the_round(
    judged: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = _loop(judged)

    def fails(count: int) -> int:
        raise RuntimeError("no completion today")

    monkeypatch.setattr(loop.pool, "add_chunk", fails)
    monkeypatch.setattr(loop.pool, "lendable", lambda: 0)
    one = loop.run_round_if_due()
    assert one is not None and one.state is RoundState.DONE


def test_prompts_that_do_not_fit_fail_the_round_before_any_training(judged: Settings) -> None:
    short = {**judged.training, "ppo": {**judged.training["ppo"], "max_prompt_tokens": 1}}
    one = _loop(judged.model_copy(update={"training": short})).run_round_if_due()
    assert one is not None and one.state is RoundState.FAILED
    assert "training.ppo.max_prompt_tokens" in one.reason
    assert "snapshot" not in one.artefacts
