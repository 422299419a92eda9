"""The review queue: what comes into it and why, and how a lead's deeds take it out again."""

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.judging.judgments import flag_assignment, skip_assignment
from labeling.keys import key_of
from labeling.labeling_settings import change_labeling
from labeling.model_annotators.out_of_fold import ARTEFACT, UnseenPair, write_unseen_pairs
from labeling.quality_control.known_answers import make_gold
from labeling.review.adjudication import (
    decide,
    discard,
    keep,
    requeue,
    restore,
    send_back,
    withdraw,
)
from labeling.review.reviewed_task import reviewed_task
from labeling.review.reviews import Cause, ReviewItem, review_queue
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import (
    Account,
    AccountKind,
    Project,
    Review,
    ReviewDecision,
    Role,
    Round,
    RoundState,
    Task,
    TaskStatus,
)
from tests.labeling.stage import Stage, set_stage

UP, DOWN = [1, 2, 3, 4], [4, 3, 2, 1]


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return _staged(engine, project)


@pytest.fixture
def sqlite_stage(sqlite_engine: Engine, sqlite_project: Project) -> Stage:
    return _staged(sqlite_engine, sqlite_project)


def _staged(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=2)
    stage.account("lena", Role.LEAD)
    return stage


def lead(stage: Stage) -> Account:
    return stage.accounts["lena"]


def queue(stage: Stage, home: Path = Path("/nowhere")) -> list[ReviewItem]:
    with reading(stage.engine) as session:
        return review_queue(session, project_id=stage.project_id, account=lead(stage), home=home)


def act(stage: Stage, deed, **values):  # type: ignore[no-untyped-def]
    with writing(stage.engine) as session:
        return deed(session, **{"by": lead(stage), "nonce": uuid4().hex, **values})


def judge_twice(stage: Stage, text: str, first: list[int], second: list[int]) -> int:
    task_id = stage.add_task(text)
    for name, ranks in (("ann", first), ("bob", second)):
        assert stage.judge(name, ranks).stored
    return task_id


def causes(items: list[ReviewItem]) -> dict[int, list[Cause]]:
    return {item.task_id: [reason.cause for reason in item.reasons] for item in items}


def test_low_agreement_brings_a_task_and_says_how_low(stage: Stage) -> None:
    judge_twice(stage, "alike", UP, [1, 2, 4, 3])
    opposed = judge_twice(stage, "opposed", UP, [3, 2, 1, 1])
    (item,) = queue(stage)
    assert (item.task_id, item.agreement, item.judgments) == (opposed, 0.0, 2)
    assert item.reasons[0].words == "2 annotators agree on 0% of its pairs."
    assert item.prompt == "opposed"


def test_the_bound_is_a_setting_and_one_judgment_agrees_with_nothing(stage: Stage) -> None:
    alike = judge_twice(stage, "alike", UP, [1, 2, 4, 3])
    stage.add_task("once")
    stage.judge("ann", UP)
    with writing(stage.engine) as session:
        change_labeling(
            session, project=session.get_one(Project, stage.project_id), by=None,
            section="review", values={"low_agreement": 0.9},
        )  # fmt: skip
    assert causes(queue(stage)) == {alike: [Cause.DISAGREEMENT]}


def test_a_flag_brings_a_task_and_a_skip_by_all_does(stage: Stage) -> None:
    flagged, skipped = stage.add_task("flagged"), stage.add_task("skipped")
    stage.account("ann"), stage.account("bob")
    for name in ("ann", "bob"):
        first, annotator = stage.lend(name), stage.account(name)
        with writing(stage.engine) as session:
            flag_assignment(
                session, assignment_id=first.assignment_id, annotator_id=annotator,
                flags=["unsafe"], comment="a threat",
            )  # fmt: skip
        if name == "bob":
            second = stage.lend("bob")
            with writing(stage.engine) as session:
                skip_assignment(
                    session, assignment_id=second.assignment_id, annotator_id=annotator,
                    reason="not my field",
                )  # fmt: skip
    found = causes(queue(stage))
    assert found[flagged] == [Cause.CLOSED, Cause.FLAGGED, Cause.FLAGGED]
    assert skipped not in found, "ann may still judge it"
    words = [reason.words for item in queue(stage) for reason in item.reasons]
    assert "ann flagged it: unsafe." in words


def test_a_sure_reward_model_against_the_label_brings_a_task(
    sqlite_stage: Stage, tmp_path: Path
) -> None:
    stage = sqlite_stage
    sure, unsure = stage.add_task("sure"), stage.add_task("unsure")
    first, second = stage.judge("ann", UP), stage.judge("ann", UP)
    pairs = [
        UnseenPair(first.judgment_id or 0, 0, 2, 0.04),
        UnseenPair(first.judgment_id or 0, 0, 1, 0.4),
        UnseenPair(second.judgment_id or 0, 0, 1, 0.2),
    ]
    write_unseen_pairs(tmp_path, "checkpoints/one", pairs)
    with writing(stage.engine) as session:
        session.add(
            Round(
                project_id=stage.project_id,
                number=1,
                state=RoundState.REJECTED,
                artefacts={ARTEFACT: "checkpoints/one"},
            )
        )
    (item,) = queue(stage, tmp_path)
    assert (item.task_id, unsure) == (sure, unsure)
    assert item.reasons[0].words == (
        "A reward model that never saw this prompt is 96% sure that C is better than A, "
        "against ann."
    )
    assert queue(stage, tmp_path / "lost") == []


def test_a_decision_takes_a_task_off_the_queue_until_something_new_is_said(stage: Stage) -> None:
    task_id = judge_twice(stage, "opposed", UP, DOWN)
    act(stage, keep, task_id=task_id)
    assert queue(stage) == []
    stage.account("cleo")
    act(stage, requeue, task_id=task_id)
    assert queue(stage) == []
    stage.judge("cleo", UP)
    assert causes(queue(stage)) == {task_id: [Cause.DISAGREEMENT]}
    act(stage, withdraw, task_id=task_id, reason="a bad prompt")
    assert queue(stage) == []


def test_discarding_the_odd_one_out_ends_the_disagreement_and_restoring_begins_it(
    stage: Stage,
) -> None:
    task_id = stage.add_task("three")
    stage.account("ann")
    act(stage, requeue, task_id=task_id)
    with writing(stage.engine) as session:
        session.get_one(Task, task_id).overlap = 3
    stage.judge("ann", UP)
    odd = stage.judge("bob", DOWN).judgment_id
    stage.judge("cleo", UP)
    assert causes(queue(stage)) == {task_id: [Cause.DISAGREEMENT]}
    act(stage, discard, judgment_id=odd, reason="ranked upside down")
    assert queue(stage) == []
    act(stage, restore, judgment_id=odd)
    assert causes(queue(stage)) == {task_id: [Cause.DISAGREEMENT]}


def test_requeue_asks_one_more_and_opens_what_was_closed_to_all(stage: Stage) -> None:
    task_id = stage.add_task("hard")
    stage.account("ann")
    lent = stage.lend("ann")
    with writing(stage.engine) as session:
        skip_assignment(
            session, assignment_id=lent.assignment_id, annotator_id=stage.account("ann"),
            reason="no idea",
        )  # fmt: skip
    assert causes(queue(stage)) == {task_id: [Cause.CLOSED]}
    with pytest.raises(Conflict, match="Nobody has judged"):
        act(stage, keep, task_id=task_id)
    act(stage, requeue, task_id=task_id)
    assert queue(stage) == []
    assert stage.judge("ann", UP).stored
    again = judge_twice(stage, "done", UP, UP)
    stage.account("cleo")
    act(stage, requeue, task_id=again)
    assert stage.judge("cleo", UP).stored


def flag(stage: Stage, name: str) -> int:
    lent = stage.lend(name)
    with writing(stage.engine) as session:
        flag_assignment(
            session, assignment_id=lent.assignment_id, annotator_id=stage.account(name),
            flags=["unsafe"], comment="a threat",
        )  # fmt: skip
    return lent.task_id


def test_requeue_opens_what_all_flagged_and_refuses_where_nobody_is_left(stage: Stage) -> None:
    task_id = stage.add_task("flagged")
    stage.account("ann"), stage.account("bob")
    assert flag(stage, "ann") == flag(stage, "bob") == task_id
    act(stage, requeue, task_id=task_id)
    assert queue(stage) == []
    assert stage.judge("ann", UP).stored
    assert flag(stage, "bob") == task_id
    act(stage, requeue, task_id=task_id, comment="nobody else is left")
    assert stage.judge("bob", UP).stored
    with pytest.raises(Conflict, match="Everybody who could judge this task has"):
        act(stage, requeue, task_id=task_id)
    with reading(stage.engine) as session:
        assert session.get_one(Task, task_id).status is TaskStatus.DONE
    stage.account("cleo")
    act(stage, requeue, task_id=task_id)
    assert stage.judge("cleo", UP).stored


def test_a_flagged_gold_task_is_seen_kept_in_its_set_or_withdrawn(stage: Stage) -> None:
    stage.account("ann")
    original = stage.add_task("known")
    with writing(stage.engine) as session:
        gold_id = key_of(make_gold(session, task_id=original, ranks=UP, by=lead(stage)))
        session.get_one(Task, original).status = TaskStatus.WITHDRAWN
    stage.change("gold", rate=1.0)
    assert flag(stage, "ann") == gold_id
    (item,) = queue(stage)
    assert item.task_id == gold_id
    # That the others have met it too says nothing: a test is for everyone, and stays in its set.
    assert {reason.words for reason in item.reasons} == {"ann flagged this gold task: unsafe."}
    with pytest.raises(Conflict, match="no label to decide"):
        act(stage, decide, task_id=gold_id, ranks=UP, reason="")
    act(stage, keep, task_id=gold_id)
    assert queue(stage) == []
    assert flag(stage, "bob") == gold_id, "it is still in its set"
    act(stage, withdraw, task_id=gold_id, reason="unsafe indeed")
    assert queue(stage) == []
    assert stage.next("cleo") is None


def test_a_stale_tab_is_told_that_its_decision_was_not_stored(stage: Stage) -> None:
    task_id = judge_twice(stage, "opposed", UP, DOWN)
    given = {"task_id": task_id, "nonce": "seen 0"}
    first = act(stage, decide, ranks=UP, reason="", **given)
    assert act(stage, decide, ranks=UP, reason="", **given).id == first.id
    for other in ({"ranks": DOWN, "reason": ""}, {"ranks": UP, "reason": "on reflection"}):
        with pytest.raises(Conflict, match="in another tab"):
            act(stage, decide, **given, **other)


def test_a_double_click_decides_once(stage: Stage) -> None:
    task_id = judge_twice(stage, "done", UP, UP)
    stage.account("cleo")
    with writing(stage.engine) as session:
        first = requeue(session, task_id=task_id, by=lead(stage), nonce="one")
    assert stage.next("cleo") is not None
    with writing(stage.engine) as session:
        second = requeue(session, task_id=task_id, by=lead(stage), nonce="one")
        assert session.get_one(Task, task_id).overlap == 3
    assert first.id == second.id


def test_a_model_may_be_sure_of_more_than_one_statement_can_ask_for(
    postgres_engine: Engine, tmp_path: Path
) -> None:
    with writing(postgres_engine) as session:
        project = Project(name="default", completions_per_task=4)
        session.add(project)
    stage = _staged(postgres_engine, project)
    task_id = stage.add_task("one")
    judged = stage.judge("ann", UP).judgment_id or 0
    write_unseen_pairs(
        tmp_path, "pairs", [UnseenPair(judged + n, 0, 1, 0.01) for n in range(66_000)]
    )
    with writing(stage.engine) as session:
        session.add(
            Round(
                project_id=stage.project_id,
                number=1,
                state=RoundState.DONE,
                artefacts={ARTEFACT: "pairs"},
            )
        )
    assert causes(queue(stage, tmp_path)) == {task_id: [Cause.MODEL]}


def test_the_task_shows_every_judgment_and_what_was_decided(stage: Stage) -> None:
    task_id = judge_twice(stage, "opposed", UP, DOWN)
    with reading(stage.engine) as session:
        seen = reviewed_task(
            session, project_id=stage.project_id, task_id=task_id, account=lead(stage)
        )
    assert [(one.annotator, one.ranks) for one in seen.judgments] == [("ann", UP), ("bob", DOWN)]
    assert seen.completions == [f"opposed.{position}" for position in range(4)]
    first, second = (one.judgment_id for one in seen.judgments)
    act(stage, send_back, judgment_id=first, comment="read B again")
    act(stage, discard, judgment_id=second, reason="upside down")
    act(stage, decide, task_id=task_id, ranks=[1, 1, 3, 4], reason="")
    with reading(stage.engine) as session:
        seen = reviewed_task(
            session, project_id=stage.project_id, task_id=task_id, account=lead(stage)
        )
    assert [one.returned for one in seen.judgments] == [True, False]
    assert [one.discarded for one in seen.judgments] == [False, True]
    assert [(one.decision, one.annotator, one.ranks) for one in seen.decisions] == [
        (ReviewDecision.RETURNED, "ann", None),
        (ReviewDecision.DISCARDED, "bob", None),
        (ReviewDecision.DECIDED, None, [1, 1, 2, 3]),
    ]
    assert seen.status is TaskStatus.DONE


@pytest.mark.parametrize(
    "fields",
    [
        {"erased_at": now()},
        {"imported_from": "f.jsonl"},
        {"active": False},
        {"project_roles": {"*": ""}},
        {"kind": AccountKind.SIMULATED},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_nothing_is_sent_back_to_whom_nobody_is_signed_in(
    sqlite_stage: Stage, fields: dict[str, object]
) -> None:
    stage = sqlite_stage
    stage.add_task("one")
    task = stage.lend("ann")
    judged = stage.submit("ann", task, [1, 2, 3, 4], "n").judgment_id
    with writing(stage.engine) as session:
        for name, value in fields.items():
            setattr(session.get_one(Account, stage.account("ann")), name, value)
    with pytest.raises(Conflict, match="cannot judge again"):
        act(stage, send_back, judgment_id=judged, comment="read B again")
    with reading(stage.engine) as session:
        assert session.exec(select(Review)).all() == []


def test_only_leads_review_and_reasons_are_asked_for(sqlite_stage: Stage) -> None:
    stage = sqlite_stage
    task_id = judge_twice(stage, "opposed", UP, DOWN)
    annotator = stage.accounts["ann"]
    with reading(stage.engine) as session, pytest.raises(NotAllowed):
        review_queue(session, project_id=stage.project_id, account=annotator, home=Path())
    with reading(stage.engine) as session, pytest.raises(NotAllowed):
        reviewed_task(session, project_id=stage.project_id, task_id=task_id, account=annotator)
    for deed, values in (
        (decide, {"task_id": task_id, "ranks": UP, "reason": ""}),
        (keep, {"task_id": task_id}),
        (withdraw, {"task_id": task_id, "reason": "x"}),
        (requeue, {"task_id": task_id}),
        (discard, {"judgment_id": 1, "reason": "x"}),
        (restore, {"judgment_id": 1}),
        (send_back, {"judgment_id": 1, "comment": "x"}),
    ):
        with pytest.raises(NotAllowed):
            act(stage, deed, by=annotator, **values)
    with pytest.raises(BadInput, match="reason"):
        act(stage, discard, judgment_id=1, reason=" ")
    with pytest.raises(BadInput, match="comment"):
        act(stage, send_back, judgment_id=1, comment="")
    with pytest.raises(BadInput):
        act(stage, decide, task_id=task_id, ranks=[1, 2], reason="")
    with pytest.raises(NotFound):
        act(stage, keep, task_id=999)
    assert len(queue(stage)) == 1
