"""Two versions side by side: what rounds measured, and prompts that both were ranked on."""

import pytest
from sqlalchemy import Engine

from labeling.loop_state import LoopState
from labeling.versions_compared import VersionsCompared, compare_versions
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Completion, Policy, PolicyStatus, Project, Prompt, Role
from tests.labeling.loops import a_loop, a_policy, a_round
from tests.labeling.stage import Stage, set_stage

FIRST = {"policy": "live", "mean_reward": 0.1}
SECOND = {"policy": "candidate", "mean_reward": 0.4}
SAMPLE = {"prompt": "Why?", "live": "Because.", "candidate": "It is so."}
EVALUATED = a_round(1, metrics={"policies": [FIRST, SECOND], "samples": [SAMPLE]})


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project)
    stage.account("lena", Role.LEAD)
    return stage


def compare(stage: Stage, loop: LoopState, name: str = "lena", most: int = 5) -> VersionsCompared:
    stage.account(name)
    with reading(stage.engine) as session:
        return compare_versions(
            session,
            project_id=stage.project_id,
            account=stage.accounts[name],
            loop=loop,
            first=1,
            second=2,
            most=most,
        )


def answer_both(stage: Stage, text: str, times: int = 1) -> None:
    """Have both versions answer a prompt, so many times each."""
    prompt_id = stage.add_prompt(text)
    with writing(stage.engine) as session:
        for number in range(times):
            for policy_id, name in ((stage.policy.id, "first"), (stage.policy.id + 1, "second")):
                session.add(
                    Completion(
                        prompt_id=prompt_id, policy_id=policy_id, text=f"{name} {text} {number}"
                    )
                )
            session.flush()


def second_version(stage: Stage) -> None:
    with writing(stage.engine) as session:
        session.add(Policy(project_id=stage.project_id, version=2, status=PolicyStatus.RETIRED))


def test_the_round_that_made_the_second_measured_both(stage: Stage) -> None:
    found = compare(stage, a_loop(rounds=[EVALUATED]))
    assert found.figures == (FIRST, SECOND)
    assert found.rounds == (1, 1)
    (sample,) = found.samples
    assert (sample.prompt, sample.first, sample.second) == ("Why?", "Because.", "It is so.")
    assert sample.place == "held-out"


def test_a_version_that_no_round_measured_has_no_figures(stage: Stage) -> None:
    found = compare(stage, a_loop(rounds=[a_round(1)]))
    assert found.figures == (None, None) and found.rounds == (None, None)
    assert found.samples == []


def test_the_newest_round_that_measured_a_version_counts(stage: Stage) -> None:
    again = {"policy": "live", "mean_reward": 0.5}
    later = a_round(2, metrics={"policies": [again]})
    found = compare(stage, a_loop(rounds=[EVALUATED, later]))
    assert found.figures == (FIRST, again)
    assert found.rounds == (1, 2)


def test_people_were_asked_for_just_these_two(stage: Stage) -> None:
    rate = {"over": 1, "version": 2, "low": 0.4, "high": 0.7}
    policies = [a_policy(1), a_policy(2, "live", human_win_rate=rate)]
    assert compare(stage, a_loop(policies=policies)).wins == rate
    other = [a_policy(1), a_policy(2, "live", human_win_rate=rate | {"over": 0})]
    assert compare(stage, a_loop(policies=other)).wins is None
    assert compare(stage, a_loop()).wins is None


def test_prompts_that_both_were_ranked_on_fill_up(stage: Stage) -> None:
    second_version(stage)
    answer_both(stage, "one")
    answer_both(stage, "two", times=2)
    found = compare(stage, a_loop(rounds=[EVALUATED]), most=3)
    assert [one.place for one in found.samples] == ["held-out", "ranked", "ranked"]
    assert sorted(one.prompt for one in found.samples[1:]) == ["one", "two"]
    for one in found.samples[1:]:
        assert one.first.startswith(f"first {one.prompt}")
        assert one.second.startswith(f"second {one.prompt}")
    assert len(compare(stage, a_loop(rounds=[EVALUATED]), most=2).samples) == 2
    with reading(stage.engine) as session:
        assert session.get_one(Prompt, 1).messages[-1]["content"] == "one"


def test_who_ranks_blind_may_not_compare(stage: Stage) -> None:
    with pytest.raises(NotAllowed):
        compare(stage, a_loop(), name="ann")
