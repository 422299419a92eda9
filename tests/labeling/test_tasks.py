import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.policies import list_policies, live_policy
from labeling.tasks import NewCompletion, add_task, prompts_to_answer, ready_task_count
from storage.engine import reading, writing
from storage.errors import BadInput, NotFound
from storage.tables import Completion, Policy, Project, Split, TaskCompletion
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


def test_prompts_with_the_fewest_tasks_come_first(stage: Stage) -> None:
    stage.add_task("answered", split=Split.HELDOUT)
    for text in ("fresh 1", "fresh 2"):
        stage.add_prompt(text)
    assert sorted(to_answer(stage, stage.policy, 9)) == ["fresh 1", "fresh 2"]
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
