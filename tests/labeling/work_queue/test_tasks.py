import threading
from itertools import islice

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, col, select

from labeling.judging.judgments import skip_assignment
from labeling.policies import list_policies, live_policy
from labeling.work_queue.assignment import release_assignments
from labeling.work_queue.tasks import (
    Candidate,
    NewCompletion,
    add_task,
    candidates,
    prompts_to_answer,
    ready_task_count,
    still_wanted,
)
from storage.engine import reading, writing
from storage.errors import BadInput, NotFound
from storage.tables import (
    Account,
    AccountKind,
    Completion,
    Policy,
    Project,
    Prompt,
    Role,
    Split,
    TaskCompletion,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


def to_answer(stage: Stage, policy: Policy, count: int, seed: int = 0) -> list[str]:
    with reading(stage.engine) as session:
        found = prompts_to_answer(
            session,
            project_id=stage.project_id,
            policy_id=policy.id or 0,
            count=count,
            seed=seed,
        )
    return [prompt.messages[0]["content"] for prompt in found]


def second_policy(stage: Stage) -> Policy:
    with writing(stage.engine) as session:
        policy = Policy(project_id=stage.project_id, version=2)
        session.add(policy)
    return policy


def ready(stage: Stage, policy_id: int | None = None) -> int:
    with reading(stage.engine) as session:
        return ready_task_count(session, project_id=stage.project_id, policy_id=policy_id)


def skip(stage: Stage, name: str) -> None:
    with writing(stage.engine) as session:
        skip_assignment(
            session,
            assignment_id=stage.lend(name).assignment_id,
            annotator_id=stage.account(name),
            reason="nonsense",
        )


def change(stage: Stage, name: str, **values: object) -> None:
    with writing(stage.engine) as session:
        account = session.get_one(Account, stage.account(name))
        for field, value in values.items():
            setattr(account, field, value)
        session.add(account)


def answer(stage: Stage, session: Session, prompt: Prompt, policy: Policy) -> None:
    add_task(
        session,
        project=stage.project,
        prompt_id=prompt.id or 0,
        policy_id=policy.id or 0,
        completions=[NewCompletion(str(n), {}, n, "stop", 1) for n in range(2)],
    )


def test_prompts_with_the_fewest_tasks_come_first(stage: Stage) -> None:
    stage.add_task("answered", split=Split.HELDOUT)
    for text in ("fresh 1", "fresh 2"):
        stage.add_prompt(text)
    assert sorted(to_answer(stage, stage.policy, 2)) == ["fresh 1", "fresh 2"]
    assert to_answer(stage, stage.policy, 9)[2:] == ["answered"], "a prompt is asked again, last"
    policy = second_policy(stage)
    assert sorted(to_answer(stage, policy, 2)) == ["fresh 1", "fresh 2"]
    assert to_answer(stage, policy, 3)[2] == "answered"


def test_the_seed_decides_among_equals(stage: Stage) -> None:
    for number in range(20):
        stage.add_prompt(f"p{number}")
    assert to_answer(stage, stage.policy, 20, seed=1) == to_answer(stage, stage.policy, 20, seed=1)
    assert to_answer(stage, stage.policy, 20, seed=1) != to_answer(stage, stage.policy, 20, seed=2)
    assert to_answer(stage, stage.policy, 0) == []


def test_no_prompts_give_no_prompts(stage: Stage) -> None:
    assert to_answer(stage, stage.policy, 5) == []


def test_this_policys_tasks_count_before_those_of_others(stage: Stage) -> None:
    policy = second_policy(stage)
    for text in ("twice by the old", "once by the new"):
        stage.add_prompt(text)
    with writing(stage.engine) as session:
        old, new = session.exec(select(Prompt).order_by(col(Prompt.id))).all()
        for prompt, by in ((old, stage.policy), (old, stage.policy), (new, policy)):
            answer(stage, session, prompt, by)
    assert to_answer(stage, policy, 2) == ["twice by the old", "once by the new"]
    assert to_answer(stage, stage.policy, 2) == ["once by the new", "twice by the old"]


def test_prompts_are_loaded_as_they_are_asked_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.work_queue.tasks.LOADED_AT_ONCE", 2)
    ids = [stage.add_prompt(f"p{number}") for number in range(7)]
    with reading(stage.engine) as session:
        found = candidates(
            session,
            project_id=stage.project_id,
            policy_id=stage.policy.id or 0,
            seed=0,
            passed_over=ids[:1],
        )
        first = [one.prompt.id for one in islice(found, 1)]
        assert len(session.identity_map) == 2
        assert {*first, *(one.prompt.id for one in found)} == set(ids[1:])


def test_a_task_lent_out_is_no_stock_until_it_comes_back(stage: Stage) -> None:
    stage.add_task("t")
    stage.lend("ann", minutes=5)
    assert ready(stage) == 0
    with writing(stage.engine) as session:
        release_assignments(session, annotator_id=stage.account("ann"))
    assert ready(stage) == 1


def test_tasks_skipped_by_everybody_at_work_are_no_stock(stage: Stage) -> None:
    stage.account("idle admin", Role.ADMIN)
    for text in ("one", "two"):
        stage.add_task(text)
    skip(stage, "ann")
    assert (ready(stage), ready(stage, stage.policy.id)) == (1, 1)
    skip(stage, "ann")
    assert ready(stage) == 0
    stage.add_task("three")
    assert stage.lend("bob").messages[0]["content"] == "three", "one and two wait for the lead"
    assert stage.next("ann") is None
    for text in ("four", "five"):
        stage.add_task(text)
    skip(stage, "ann")
    assert stage.lend("ann").messages[0]["content"] == "five"
    assert ready(stage) == 1, "four is open to bob; three and five are lent"
    change(stage, "bob", active=False)
    assert ready(stage) == 0


def test_with_overlap_2_and_one_annotator_what_they_judged_is_no_stock(
    engine: Engine, project: Project
) -> None:
    stage = set_stage(engine, project, overlap=2)
    stage.add_task("t")
    assert ready(stage) == 1, "nobody has judged: room is enough"
    stage.judge("ann", [1, 2, 3, 4])
    assert ready(stage) == 0
    stage.account("bob")
    task = stage.lend("bob")
    stage.add_task("u")
    assert ready(stage) == 1
    stage.submit("bob", task, [1, 2, 3, 4], "bob")
    assert ready(stage) == 1


@pytest.mark.parametrize("kind", [AccountKind.SIMULATED, AccountKind.MODEL])
def test_a_simulation_that_ended_does_not_keep_tasks_from_people(
    engine: Engine, project: Project, kind: AccountKind
) -> None:
    stage = set_stage(engine, project, overlap=3)
    stage.add_task("t")
    stage.add_task("u")
    stage.account("sim-1")
    change(stage, "sim-1", kind=kind)
    stage.judge("sim-1", [1, 2, 3, 4])
    assert ready(stage) == (1 if kind is AccountKind.SIMULATED else 2)
    for _ in range(2):
        skip(stage, "ann")
    assert ready(stage) == 0


def test_a_prompt_that_another_filler_answered_meanwhile_is_not_wanted(stage: Stage) -> None:
    for text in ("one", "two"):
        stage.add_prompt(text)
    ids = {"project_id": stage.project_id, "policy_id": stage.policy.id or 0}
    with reading(stage.engine) as session:
        chosen = list(candidates(session, **ids, seed=0, passed_over=()))
    second: list[set[int]] = []

    def fill_too() -> None:
        with writing(stage.engine) as session:
            second.append(still_wanted(session, **ids, chosen=chosen))

    other = threading.Thread(target=fill_too)
    with writing(stage.engine) as session:
        assert still_wanted(session, **ids, chosen=chosen) == {one.prompt.id for one in chosen}
        other.start()
        other.join(0.3)
        assert other.is_alive(), "two fillers take turns"
        answer(stage, session, chosen[0].prompt, stage.policy)
    other.join(20)
    assert second == [{chosen[1].prompt.id}]
    again = [Candidate(chosen[0].prompt, tasks=1)]
    with writing(stage.engine) as session:
        assert still_wanted(session, **ids, chosen=again) == {chosen[0].prompt.id}


def test_a_task_keeps_its_completions_in_order(stage: Stage) -> None:
    task_id = stage.add_task("t", k=3)
    with reading(stage.engine) as session:
        texts = session.exec(
            select(Completion.text)
            .join(TaskCompletion, col(TaskCompletion.completion_id) == col(Completion.id))
            .where(TaskCompletion.task_id == task_id)
            .order_by(col(TaskCompletion.position))
        ).all()
        count = ready_task_count(
            session, project_id=stage.project_id, policy_id=stage.policy.id or 0
        )
    assert texts == ["t.0", "t.1", "t.2"]
    assert count == 1
    stage.judge("ann", [1, 2, 3])
    with reading(stage.engine) as session:
        assert ready_task_count(session, project_id=stage.project_id, policy_id=1) == 0


def test_a_nul_in_a_completion_can_be_stored(stage: Stage) -> None:
    prompt_id = stage.add_prompt("p")
    new = [NewCompletion(f"a\x00{n}", {}, n, "stop", 1) for n in range(2)]
    with writing(stage.engine) as session:
        add_task(
            session,
            project=stage.project,
            prompt_id=prompt_id,
            policy_id=stage.policy.id or 0,
            completions=new,
        )
        assert session.exec(select(Completion.text)).all() == ["a\ufffd0", "a\ufffd1"]


@pytest.mark.parametrize("k", [0, 1, 10])
def test_a_task_needs_2_to_9_completions(stage: Stage, k: int) -> None:
    with pytest.raises(BadInput, match="2 to 9"):
        stage.add_task("t", k=k)


def test_another_projects_prompt_or_policy_is_refused(stage: Stage) -> None:
    prompt_id = stage.add_prompt("p")
    new = [NewCompletion(str(n), {}, n, "stop", 1) for n in range(2)]
    with writing(stage.engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        with pytest.raises(BadInput, match=r"Prompt .* is not one of project other"):
            add_task(session, project=other, prompt_id=prompt_id, policy_id=1, completions=new)
        with pytest.raises(BadInput, match="Policy 99 is not"):
            add_task(
                session, project=stage.project, prompt_id=prompt_id, policy_id=99, completions=new
            )


def test_the_live_policy_is_found_among_all(stage: Stage) -> None:
    second_policy(stage)
    with reading(stage.engine) as session:
        assert live_policy(session, project_id=stage.project_id).version == 1
        policies = list_policies(session, project_id=stage.project_id)
        assert [policy.version for policy in policies] == [1, 2]
        with pytest.raises(NotFound, match="no live policy"):
            live_policy(session, project_id=stage.project_id + 1)
