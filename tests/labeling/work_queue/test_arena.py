"""The human arena: what is asked, how often, and the win rate that comes of it."""

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from labeling.policies import live_policy, replace_live
from labeling.review.adjudication import decide
from labeling.rollback import roll_back
from labeling.rounds import round_summaries
from labeling.work_queue import arena
from labeling.work_queue.arena import (
    add_arena_task,
    arena_wanted,
    human_win_rates,
    human_win_rates_over_first,
    policy_before,
    wilson_interval,
    win_rate,
)
from labeling.work_queue.tasks import NewCompletion
from storage.engine import reading, writing
from storage.errors import BadInput
from storage.tables import (
    Policy,
    PolicyStatus,
    Project,
    Role,
    Round,
    RoundState,
    Task,
    TaskKind,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Version 2 is live, version 1 was before it, version 3 was rejected."""
    stage = set_stage(engine, project, overlap=3)
    with writing(engine) as session:
        publish(session, stage)
        rejected = Policy(project_id=stage.project_id, version=3, status=PolicyStatus.REJECTED)
        session.add(rejected)
    return stage


def publish(session: Session, stage: Stage) -> Policy:
    live = live_policy(session, project_id=stage.project_id)
    return replace_live(
        session, project_id=stage.project_id, parent=live, checkpoint_uri="x", round_id=None
    )


def answer(text: str) -> NewCompletion:
    return NewCompletion(text, {"temperature": 1.0}, 0, "stop", 1)


def ask(stage: Stage, text: str, *, newer_first: bool = True) -> int:
    prompt_id = stage.add_prompt(text)
    with writing(stage.engine) as session:
        live = live_policy(session, project_id=stage.project_id)
        before = policy_before(session, policy=live)
        assert before is not None
        pair = [(live, answer("new")), (before, answer("old"))]
        task = add_arena_task(
            session,
            project=stage.project,
            prompt_id=prompt_id,
            answers=pair if newer_first else pair[::-1],
        )
    assert task.id is not None
    return task.id


def test_the_version_before_is_the_published_one(stage: Stage) -> None:
    with writing(stage.engine) as session:
        fourth = publish(session, stage)
        before = policy_before(session, policy=fourth)
        assert before is not None and (fourth.version, before.version) == (4, 2)
        first = policy_before(session, policy=before)
        assert first is not None and policy_before(session, policy=first) is None


def test_wins_are_counted_by_who_wrote_what_and_not_by_position(stage: Stage) -> None:
    for number, (newer_first, ranks) in enumerate(
        [(True, [1, 2]), (False, [2, 1]), (False, [1, 2]), (True, [1, 1])]
    ):
        task_id = ask(stage, f"p{number}", newer_first=newer_first)
        lent = stage.lend("ann")
        assert lent.task_id == task_id, "one annotator is enough: overlap is 1"
        stage.submit("ann", lent, ranks, f"nonce-{number}")
    with reading(stage.engine) as session:
        (rate,) = human_win_rates(session, project_id=stage.project_id).values()
    assert (rate.version, rate.over) == (2, 1)
    assert (rate.wins, rate.ties, rate.losses, rate.judgments) == (2, 1, 1, 4)
    assert rate.value == 0.625
    assert rate.low < 0.5 < rate.high


def compare(stage: Stage, name: str, outcomes: list[list[int]]) -> None:
    """Have ann rank the live version and the one before it, in this order."""
    for number, ranks in enumerate(outcomes):
        ask(stage, f"{name} {number}")
        stage.submit("ann", stage.lend("ann"), ranks, f"{name}-{number}")


def over_first(stage: Stage) -> dict[int, tuple[int, int, int]]:
    with reading(stage.engine) as session:
        found = human_win_rates_over_first(session, project_id=stage.project_id)
    assert {one.over for one in found.values()} <= {1}
    return {version: (one.wins, one.ties, one.losses) for version, one in found.items()}


def test_the_first_policy_is_beaten_by_whom_people_saw_beside_it(stage: Stage) -> None:
    assert over_first(stage) == {}
    compare(stage, "2 over 1", [[1, 2], [1, 2], [1, 1]])
    with writing(stage.engine) as session:
        publish(session, stage).checkpoint_uri = "four"
    compare(stage, "4 over 2", [[1, 2]])
    assert over_first(stage) == {2: (2, 1, 0)}, "nobody saw version 4 beside version 1"
    with reading(stage.engine) as session:
        rate = human_win_rates_over_first(session, project_id=stage.project_id)[2]
    assert (rate.value, rate.judgments) == (pytest.approx(2.5 / 3), 3)
    assert (rate.low, rate.high) == wilson_interval(2.5 / 3, 3)


def test_after_a_roll_back_the_weights_count_and_not_the_version(stage: Stage) -> None:
    compare(stage, "2 over 1", [[1, 2]])
    stage.account("lena", Role.LEAD)
    with writing(stage.engine) as session:
        publish(session, stage).checkpoint_uri = "four"
        session.flush()
        roll_back(session, project_id=stage.project_id, version=1, by=stage.accounts["lena"])
    compare(stage, "1 again over 4", [[2, 1], [2, 1], [1, 2]])
    with writing(stage.engine) as session:
        roll_back(session, project_id=stage.project_id, version=2, by=stage.accounts["lena"])
    compare(stage, "2 again over 1 again", [[2, 1]])
    assert over_first(stage) == {2: (1, 0, 1), 4: (2, 0, 1), 6: (1, 0, 1)}


def test_a_round_has_the_rate_of_its_version_over_the_first(stage: Stage) -> None:
    compare(stage, "2 over 1", [[1, 2]])
    with writing(stage.engine) as session:
        made = Round(project_id=stage.project_id, number=1, state=RoundState.DONE)
        session.add(made)
        session.flush()
        live_policy(session, project_id=stage.project_id).round_id = made.id
    with reading(stage.engine) as session:
        (row,) = round_summaries(session, project_id=stage.project_id)
    rate = row["human_win_rate_over_first"]
    assert (rate["version"], rate["over"], rate["wins"], rate["judgments"]) == (2, 1, 1, 1)


def test_a_judgment_that_comes_in_while_they_are_counted_waits_for_the_next_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = arena._versions_by_position

    def read_then_judged(session: Session, project_id: int) -> dict[int, list[int]]:
        found = read(session, project_id)
        stage.judge("ann", [1, 2])
        return found

    for number in range(2):
        ask(stage, f"p{number}")
    stage.judge("ann", [1, 2])
    with monkeypatch.context() as patch, reading(stage.engine) as session:
        patch.setattr(arena, "_versions_by_position", read_then_judged)
        (rate,) = human_win_rates(session, project_id=stage.project_id).values()
    assert rate.judgments == 1
    with reading(stage.engine) as session:
        (rate,) = human_win_rates(session, project_id=stage.project_id).values()
    assert rate.judgments == 2


def test_a_leads_decision_is_no_further_opinion(stage: Stage) -> None:
    task_id = ask(stage, "p")
    stage.account("lena", Role.LEAD)
    with writing(stage.engine) as session:
        decide(
            session, task_id=task_id, ranks=[1, 2], by=stage.accounts["lena"], nonce="n", reason=""
        )
        assert human_win_rates(session, project_id=stage.project_id) == {}


def test_the_share_of_new_tasks_is_kept_to(stage: Stage) -> None:
    def wanted(count: int, share: float) -> int:
        with reading(stage.engine) as session:
            live = live_policy(session, project_id=stage.project_id)
            return arena_wanted(session, policy=live, count=count, share=share)

    assert [wanted(10, 0.25), wanted(8, 0.05), wanted(8, 0.0), wanted(8, 1.0)] == [2, 0, 0, 8]
    prompt_id = stage.add_prompt("p")
    with writing(stage.engine) as session:
        live_id = live_policy(session, project_id=stage.project_id).id or 0
        session.add_all(
            Task(project_id=stage.project_id, prompt_id=prompt_id, policy_id=live_id, kind=kind)
            for kind in [TaskKind.ORDINARY] * 37 + [TaskKind.ARENA, TaskKind.GOLD]
        )
    assert wanted(2, 0.05) == 1
    assert wanted(1, 0.05) == 0
    assert wanted(8, 0.5) == 4, "what is missing is caught up with by and by"


def test_two_policies_are_compared_and_no_fewer(stage: Stage) -> None:
    prompt_id = stage.add_prompt("p")
    with writing(stage.engine) as session:
        live = live_policy(session, project_id=stage.project_id)
        with pytest.raises(BadInput, match="two policies"):
            add_arena_task(
                session,
                project=stage.project,
                prompt_id=prompt_id,
                answers=[(live, answer("a")), (live, answer("b"))],
            )


@pytest.mark.parametrize(
    ("share", "n", "low", "high"),
    # Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3, and 0 and all of 10.
    [
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0 / 20, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
        (1.0, 10, 0.7225, 1.0),
    ],
)
def test_the_interval_is_the_published_one(share: float, n: int, low: float, high: float) -> None:
    assert wilson_interval(share, n) == pytest.approx((low, high), abs=5e-5)


def test_ties_count_half() -> None:
    rate = win_rate(2, 1, wins=1, ties=4, losses=1)
    assert (rate.value, rate.judgments) == (0.5, 6)
    with pytest.raises(ValueError, match="at least one judgment"):
        win_rate(2, 1, 0, 0, 0)
