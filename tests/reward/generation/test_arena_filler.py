"""Two policies of the tiny model: arena tasks, stale tasks, and rolling back in a round."""

from collections.abc import Mapping

import pytest
import torch
from sqlmodel import select

import reward.generation.arena_filler
from labeling.labeling_settings import change_labeling
from labeling.policies import live_policy, replace_live
from labeling.rollback import roll_back
from labeling.work_queue.arena import add_arena_task, policy_before
from labeling.work_queue.tasks import NewCompletion
from reward.evaluating.gate import refusal
from reward.generation.pool import PoolFiller
from reward.running.loop import STEPS, Loop
from reward.running.runtime import LIVE, Runtime
from reward.steps.evaluate import _people
from reward.steps.outcome import StepContext, StepOutcome
from reward.steps.sft import _inherited_reference
from storage.blobs import write_folder
from storage.engine import build_engine, reading, writing
from storage.settings import Settings
from storage.tables import (
    Account,
    Assignment,
    Completion,
    Judgment,
    Policy,
    Project,
    Role,
    Round,
    RoundState,
    Task,
    TaskCompletion,
    TaskKind,
    TaskStatus,
)
from tests.reward.held_lease import held_lease

SHELL = Account(name="shell", role=Role.ADMIN)


@pytest.fixture
def runtime(judged: Settings) -> Runtime:
    """Version 2, other weights than version 1, is live."""
    runtime = Runtime(build_engine(judged.url), judged)
    runtime.backbone.add_adapter("policy")
    for weight in runtime.backbone.parameters("policy"):
        torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(1))
    with write_folder(runtime.home, "checkpoints/two") as folder:
        runtime.backbone.save_adapter("policy", folder)
    with writing(runtime.engine) as session:
        first = live_policy(session, project_id=runtime.project_id)
        replace_live(
            session,
            project_id=runtime.project_id,
            parent=first,
            checkpoint_uri="checkpoints/two",
            round_id=None,
        )
    return runtime


def change(runtime: Runtime, section: str, **values: object) -> None:
    with writing(runtime.engine) as session:
        project = session.get_one(Project, runtime.project_id)
        change_labeling(session, project=project, by=None, section=section, values=values)


def completions(runtime: Runtime, task: Task) -> list[tuple[Completion, int]]:
    with reading(runtime.engine) as session:
        found = session.exec(
            select(Completion, Policy.version)
            .join(TaskCompletion)
            .join(Policy, Policy.id == Completion.policy_id)  # type: ignore[arg-type]
            .where(TaskCompletion.task_id == task.id)
            .order_by(TaskCompletion.position)  # type: ignore[arg-type]
        ).all()
    return [(one, version) for one, version in found]


def tasks(runtime: Runtime, version: int) -> list[Task]:
    with reading(runtime.engine) as session:
        found = session.exec(select(Task).join(Policy).where(Policy.version == version))
        return list(found)


def test_both_policies_answer_plainly_with_seeds_of_their_own(runtime: Runtime) -> None:
    change(runtime, "arena", share=0.5)
    filler = PoolFiller(runtime)
    assert filler.fill(6) == 6
    made = tasks(runtime, 2)
    arena = [task for task in made if task.kind is TaskKind.ARENA]
    assert (len(made), len(arena)) == (6, 3)
    orders = set()
    for task in arena:
        pair = completions(runtime, task)
        orders.add(tuple(version for _, version in pair))
        (first, _), (second, _) = pair
        assert {version for _, version in pair} == {1, 2}
        assert first.sampling == second.sampling
        assert first.sampling["hint"] == ""
        assert first.seed != second.seed
        assert task.overlap == 1
    assert orders <= {(1, 2), (2, 1)}
    assert len({task.prompt_id for task in made}) == 6


def test_answers_that_read_alike_are_not_asked_about(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alike(_runtime, _adapter, prompts, *, seed):  # type: ignore[no-untyped-def]
        return [NewCompletion("The same.", {}, seed, "stop", 2) for _ in prompts]

    monkeypatch.setattr(reward.generation.arena_filler, "answer_plainly", alike)
    change(runtime, "arena", share=1.0)
    assert PoolFiller(runtime).fill(2) == 2
    assert {task.kind for task in tasks(runtime, 2)} == {TaskKind.ORDINARY}


def test_an_older_policy_out_of_reach_leaves_ordinary_tasks(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    with writing(runtime.engine) as session:
        second = live_policy(session, project_id=runtime.project_id)
        second.checkpoint_uri = "checkpoints/gone"
        third = replace_live(
            session, project_id=runtime.project_id, parent=second,
            checkpoint_uri="checkpoints/two", round_id=None,
        )  # fmt: skip
        assert policy_before(session, policy=third) == second
    change(runtime, "arena", share=1.0)
    assert PoolFiller(runtime).fill(1) == 1
    assert "No arena task can be made with version 2" in caplog.text


def test_the_worker_withdraws_what_is_stale_once_there_is_enough(runtime: Runtime) -> None:
    change(runtime, "freshness", kept_share=0.0)
    old = [task for task in tasks(runtime, 1) if task.status is TaskStatus.READY]
    assert len(old) == 4
    enough = runtime.profile.generation.low_water
    filler = PoolFiller(runtime)
    filler.fill(enough - 1)
    assert [task.status for task in tasks(runtime, 1)].count(TaskStatus.READY) == 4
    filler.fill(enough)
    assert [task.status for task in tasks(runtime, 1)].count(TaskStatus.READY) == 0


def test_rolling_back_to_the_first_policy_samples_the_bare_model(runtime: Runtime) -> None:
    assert runtime.live_policy()[1] == LIVE
    with writing(runtime.engine) as session:
        roll_back(session, project_id=runtime.project_id, version=1, by=SHELL)
    for _ in range(2):
        policy, adapter = runtime.live_policy()
        assert (policy.version, adapter) == (3, None)
    change(runtime, "arena", share=1.0)
    assert PoolFiller(runtime).fill(1) == 1
    (task,) = tasks(runtime, 3)
    assert {version for _, version in completions(runtime, task)} == {2, 3}


def test_rolling_back_in_a_round_ends_it_and_the_older_policy_stays_live(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(runtime, held_lease(runtime), PoolFiller(runtime))

    def reports_after_a_roll_back(context: StepContext) -> StepOutcome:
        with writing(runtime.engine) as session:
            roll_back(session, project_id=runtime.project_id, version=1, by=SHELL)
        context.report(1, 9, {})
        raise AssertionError("the step went on")

    monkeypatch.setitem(STEPS, RoundState.SFT, reports_after_a_roll_back)  # type: ignore[arg-type]
    one = loop.run_round_if_due()
    assert one is not None and one.state is RoundState.FAILED
    assert one.reason.startswith("Policy version 3 became live while round 1 was training")
    assert runtime.live_policy()[0].version == 3


def test_a_policy_that_was_rolled_back_to_keeps_its_reference(runtime: Runtime) -> None:
    with writing(runtime.engine) as session:
        made = Round(
            project_id=runtime.project_id, number=1, state=RoundState.DONE,
            artefacts={"reference": "checkpoints/sft"},
        )  # fmt: skip
        session.add(made)
        session.flush()
        second = live_policy(session, project_id=runtime.project_id)
        second.round_id = made.id
        roll_back(session, project_id=runtime.project_id, version=1, by=SHELL)
        again = roll_back(session, project_id=runtime.project_id, version=2, by=SHELL)
    assert _inherited_reference(_context(runtime, again.id)) == "checkpoints/sft"


def _context(runtime: Runtime, base_id: int | None) -> StepContext:
    one = Round(project_id=runtime.project_id, number=9, base_policy_id=base_id)

    def silent(_step: int, _steps: int, _metrics: Mapping[str, float]) -> None:
        pass

    return StepContext(runtime, one, silent, lambda words: None)


def test_people_who_like_the_live_policy_less_shut_the_gate_if_a_lead_wants_it(
    runtime: Runtime,
) -> None:
    _let_people_prefer_the_older(runtime, judgments=8)
    live, _ = runtime.live_policy()
    context = _context(runtime, live.id)
    assert _people(context, live) == []
    change(runtime, "arena", gate=True)
    (check,) = _people(context, live)
    assert (check.name, check.passed, check.bound) == ("human_win_rate", False, 0.5)
    assert check.figure == pytest.approx(0.3244, abs=1e-4)
    assert "people prefer the live policy" in refusal([check])


def _let_people_prefer_the_older(runtime: Runtime, judgments: int) -> None:
    with writing(runtime.engine) as session:
        project = session.get_one(Project, runtime.project_id)
        live = live_policy(session, project_id=runtime.project_id)
        before = policy_before(session, policy=live)
        annotator = session.exec(select(Account)).first()
        old = session.exec(select(Judgment)).first()
        assert before is not None and annotator is not None and old is not None
        for number in range(judgments):
            task = add_arena_task(
                session, project=project, prompt_id=1,
                answers=[
                    (live, NewCompletion("new", {}, 0, "stop", 1)),
                    (before, NewCompletion("old", {}, 0, "stop", 1)),
                ],
            )  # fmt: skip
            task.judged = 1
            assignment = Assignment(
                task_id=task.id, annotator_id=annotator.id, order_seed=1,
                display_order=[0, 1], expires_at=old.created_at,
            )  # fmt: skip
            session.add(assignment)
            session.flush()
            session.add(
                Judgment(
                    project_id=project.id,
                    task_id=task.id,
                    assignment_id=assignment.id,
                    annotator_id=annotator.id,
                    ranks=[2, 1],
                    display_order=[0, 1],
                    nonce=f"arena-{number}",
                )
            )
