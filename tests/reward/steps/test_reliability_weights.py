"""Reliability weights: from known answers to the loss of the round's reward model."""

from collections.abc import Sequence

import pandas as pd
import pytest
import torch
from sqlmodel import Session, select

import reward.reward_modeling.reward_training as reward_training
from labeling.keys import key_of
from labeling.labeling_settings import change_labeling
from labeling.statistics.reliability import reliability_weights as weights_of
from reward.generation.pool import PoolFiller
from reward.reward_modeling.ranked_examples import CachedExample, RankedExample
from reward.running.loop import STEPS, Loop
from reward.running.runtime import Runtime
from reward.steps.outcome import CannotTrain, StepContext, StepOutcome
from reward.steps.snapshot import rankings_of_round, reliability_weights, take_snapshot
from storage.clock import now
from storage.engine import build_engine, reading, writing
from storage.settings import Settings
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Judgment,
    KnownAnswer,
    Project,
    Round,
    RoundState,
    Split,
    Task,
    TaskCompletion,
    TaskKind,
)
from tests.reward.held_lease import held_lease

RIGHT, WRONG, HALF = [1, 2], [2, 1], [1, 1]


def test_a_round_weighs_rankings_by_reliability_where_the_project_asks(judged: Settings) -> None:
    runtime = Runtime(build_engine(judged.url), judged)
    good, bad = _annotators(runtime)
    with writing(runtime.engine) as session:
        _answer_gold(session, runtime.project_id, good, [RIGHT] * 40)
        _answer_gold(session, runtime.project_id, bad, [WRONG] * 40)
    assert {one.weight for one in _examples(runtime)} == {1.0}
    every = len(_examples(runtime))
    _switch_on(runtime)
    with reading(runtime.engine) as session:
        weights = weights_of(session, project_id=runtime.project_id)
    # 40 right and none, credited with 16 of 20.
    assert weights == {good: pytest.approx(2 * 56 / 60 - 1), bad: 0.0}
    examples = _examples(runtime)
    assert {one.weight for one in examples} == {weights[good]}
    assert 0 < len(examples) < every


def test_the_loss_has_the_weights(judged: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[list[float], torch.Tensor]] = []
    real = reward_training.ranking_weights

    def remembering(examples: Sequence[CachedExample], heads: int, seed: int) -> torch.Tensor:
        found = real(examples, heads, seed)
        counted.append(([one.example.weight for one in examples], found))
        return found

    def stop(context: StepContext) -> StepOutcome:
        raise CannotTrain("Far enough.")

    monkeypatch.setattr(reward_training, "ranking_weights", remembering)
    monkeypatch.setitem(STEPS, RoundState.PPO, stop)  # type: ignore[arg-type]
    sizes = {**judged.training["reward"], "heads": 1, "normalise_prompts": 2, "epochs": 1}
    settings = judged.model_copy(update={"training": {**judged.training, "reward": sizes}})
    runtime = Runtime(build_engine(settings.url), settings)
    good, half = _annotators(runtime)
    with writing(runtime.engine) as session:
        _answer_gold(session, runtime.project_id, good, [RIGHT] * 80)
        _answer_gold(session, runtime.project_id, half, [HALF] * 80)
    _switch_on(runtime)
    one = Loop(runtime, held_lease(runtime), PoolFiller(runtime)).run_round_if_due()
    assert one is not None and one.reason == "Far enough.", one
    own, in_loss = counted[-1]
    assert {round(weight, 6) for weight in own} == {0.92, 0.12}
    # One head, and a prompt each: the loss keeps the ratio of the two.
    assert (in_loss[0] / torch.tensor(own)).std() < 1e-5


def test_what_no_snapshot_measured_counts_whole() -> None:
    rows = pd.DataFrame({"judgment_id": [0, 1, 2], "reliability": [0.3, 0.3, None]})
    assert reliability_weights(rows) == [1.0, 0.3, 1.0]
    assert reliability_weights(rows[["judgment_id"]]) == [1.0, 1.0, 1.0]


def _annotators(runtime: Runtime) -> tuple[int, int]:
    with reading(runtime.engine) as session:
        kind = Account.kind == AccountKind.SIMULATED
        first, second = session.exec(select(Account.id).where(kind).order_by("id")).all()
    assert first is not None and second is not None
    return first, second


def _switch_on(runtime: Runtime) -> None:
    with writing(runtime.engine) as session:
        project = session.get_one(Project, runtime.project_id)
        change_labeling(session, project=project, by=None, section="reliability",
                        values={"reliability_weights": True})  # fmt: skip


def _examples(runtime: Runtime) -> list[RankedExample]:
    one = Round(project_id=runtime.project_id, number=1)
    context = StepContext(runtime, one, lambda step, steps, metrics: None, lambda words: None)
    one.snapshot_id = take_snapshot(context).snapshot_id
    return rankings_of_round(context, Split.TRAIN)


def _answer_gold(
    session: Session, project_id: int, annotator_id: int, answers: Sequence[list[int]]
) -> None:
    """Let the annotator answer gold tasks of two completions whose first is the better."""
    like = session.exec(select(Task).where(Task.project_id == project_id)).first()
    assert like is not None
    held = select(TaskCompletion.completion_id).where(TaskCompletion.task_id == like.id)
    completions = session.exec(held).all()[:2]
    for number, ranks in enumerate(answers):
        task = Task(
            project_id=project_id,
            prompt_id=like.prompt_id,
            policy_id=like.policy_id,
            kind=TaskKind.GOLD,
        )
        session.add(task)
        session.flush()
        for position, completion_id in enumerate(completions):
            session.add(
                TaskCompletion(task_id=key_of(task), position=position, completion_id=completion_id)
            )
        session.add(KnownAnswer(task_id=key_of(task), ranks=RIGHT))
        lent = Assignment(
            task_id=key_of(task),
            annotator_id=annotator_id,
            state=AssignmentState.SUBMITTED,
            expires_at=now(),
            order_seed=0,
            display_order=[0, 1],
        )
        session.add(lent)
        session.flush()
        session.add(
            Judgment(
                project_id=project_id,
                task_id=key_of(task),
                assignment_id=key_of(lent),
                annotator_id=annotator_id,
                ranks=ranks,
                display_order=[0, 1],
                nonce=f"gold-{annotator_id}-{number}",
            )
        )
