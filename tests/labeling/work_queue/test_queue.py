from dataclasses import asdict

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.judging.judgments import flag_assignment, skip_assignment
from labeling.quality_control.known_answers import make_gold
from labeling.review.adjudication import decide
from labeling.work_queue.queue import Change, TaskChoice, queue, requeue, withdraw
from labeling.work_queue.task_copies import WITHOUT_LIMIT
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed
from storage.tables import (
    Account,
    Assignment,
    Event,
    Policy,
    PolicyStatus,
    Project,
    Review,
    Role,
    Task,
    TaskKind,
    TaskStatus,
)
from tests.labeling.stage import Stage, set_stage
from tests.labeling.trained_rows import trained_rows


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=2)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    return stage


def skip(stage: Stage, name: str) -> int:
    lent = stage.lend(name)
    with writing(stage.engine) as session:
        skip_assignment(
            session,
            assignment_id=lent.assignment_id,
            annotator_id=stage.account(name),
            reason="hard",
        )
    return lent.task_id


def status_of(stage: Stage, task_id: int) -> TaskStatus:
    with reading(stage.engine) as session:
        return session.get_one(Task, task_id).status


def change(stage: Stage, act: object, **given: object) -> Change:
    with writing(stage.engine) as session:
        lead = session.get_one(Account, stage.account("lead", Role.LEAD))
        assert callable(act)
        done = act(session, project_id=stage.project_id, by=lead, reason="because", **given)
        assert isinstance(done, Change)
        return done


def test_every_task_is_counted_once_for_its_overlap(stage: Stage) -> None:
    ids = [stage.add_task(f"t{number}", k=2) for number in range(5)]
    stage.lend("ann")
    stage.lend("bob")
    with writing(stage.engine) as session:
        stage.policy = Policy(project_id=stage.project_id, version=2)
        old = session.get_one(Policy, 1)
        old.status = PolicyStatus.RETIRED
        session.add(stage.policy)
        for task_id, status in zip(ids[2:], ("done", "review", "withdrawn"), strict=True):
            session.get_one(Task, task_id).status = TaskStatus(status)
        session.get_one(Task, ids[1]).overlap = 5
    with reading(stage.engine) as session:
        rows = queue(session, project_id=stage.project_id)
    assert [asdict(row) for row in rows] == [
        {"overlap": 2, "ready": 1, "leased": 2, "done": 1, "stale": 1, "review": 1, "withdrawn": 1},
        {"overlap": 5, "ready": 1, "leased": 0, "done": 0, "stale": 1, "review": 0, "withdrawn": 0},
    ]


def test_a_task_that_all_skipped_waits_for_the_lead_and_comes_back_when_requeued(
    stage: Stage,
) -> None:
    task_id = stage.add_task("t", k=2)
    stage.account("bob")
    skip(stage, "ann")
    assert status_of(stage, task_id) == TaskStatus.READY
    skip(stage, "bob")
    assert status_of(stage, task_id) == TaskStatus.REVIEW
    tried = change(stage, requeue, choice=TaskChoice(status=TaskStatus.REVIEW), dry_run=True)
    assert status_of(stage, task_id) == TaskStatus.REVIEW
    done = change(stage, requeue, choice=TaskChoice(status=TaskStatus.REVIEW))
    assert done == tried == Change([task_id], reopened=2, held=0, unfit=0)
    assert stage.lend("ann").task_id == task_id
    with reading(stage.engine) as session:
        (event,) = session.exec(select(Event).where(Event.kind == "tasks.requeued")).all()
        assert event.detail == {"task_ids": [task_id], "reason": "because"}


def test_the_skips_of_one_annotator_are_opened_to_them_alone(stage: Stage) -> None:
    task_id = stage.add_task("t", k=2)
    for name in ("bob", "cleo"):
        stage.account(name)
    skip(stage, "ann")
    skip(stage, "bob")
    done = change(stage, requeue, choice=TaskChoice(put_aside_by=stage.account("ann")))
    assert done.changed == [task_id]
    assert stage.lend("ann").task_id == task_id
    assert stage.next("bob") is None


def test_more_annotators_open_a_task_that_is_done(stage: Stage) -> None:
    task_id = stage.add_task("t", k=2)
    for name in ("ann", "bob"):
        stage.judge(name, [1, 2])
    untouched = change(stage, requeue, choice=TaskChoice(ids=[task_id]))
    assert untouched == Change([], reopened=0, held=0, unfit=1)
    assert stage.next("cleo") is None
    change(stage, requeue, choice=TaskChoice(ids=[task_id]), more=1)
    assert stage.lend("cleo").task_id == task_id
    assert stage.next("dora") is None


def test_a_task_that_is_lent_is_not_withdrawn(stage: Stage) -> None:
    held, free = stage.add_task("held", k=2), stage.add_task("free", k=2)
    lent = stage.lend("ann")
    assert lent.task_id == held
    done = change(stage, withdraw, choice=TaskChoice(policy_version=1))
    assert done == Change([free], reopened=0, held=1, unfit=0)
    assert (status_of(stage, held), status_of(stage, free)) == ("ready", "withdrawn")


def test_a_lease_is_honoured_when_the_task_is_withdrawn_by_other_ways(stage: Stage) -> None:
    task_id = stage.add_task("t", k=2)
    lent = stage.lend("ann")
    with writing(stage.engine) as session:
        session.get_one(Task, task_id).status = TaskStatus.WITHDRAWN
    assert stage.submit("ann", lent, [1, 2], "n").stored
    assert status_of(stage, task_id) == TaskStatus.WITHDRAWN


def test_nothing_is_changed_without_a_choice_a_reason_and_the_right(stage: Stage) -> None:
    task_id = stage.add_task("t", k=2)
    for choice in (TaskChoice(), TaskChoice(ids=[task_id, 999])):
        with pytest.raises(BadInput):
            change(stage, withdraw, choice=choice)
    with writing(stage.engine) as session:
        ann = session.get_one(Account, stage.account("ann"))
        given = {"project_id": stage.project_id, "choice": TaskChoice(ids=[task_id])}
        with pytest.raises(NotAllowed):
            withdraw(session, by=ann, reason="x", **given)  # type: ignore[arg-type]
        lead = session.get_one(Account, stage.account("lead", Role.LEAD))
        with pytest.raises(BadInput, match="reason"):
            requeue(session, by=lead, reason=" ", **given)  # type: ignore[arg-type]
    assert status_of(stage, task_id) == TaskStatus.READY


def test_a_flag_is_kept_with_what_was_said_and_takes_no_room(stage: Stage) -> None:
    stage.add_task("t", k=2)
    lent = stage.lend("ann")
    for name in ("bob", "cleo", "dora"):
        stage.account(name)
    with writing(stage.engine) as session:
        flag_assignment(
            session,
            assignment_id=lent.assignment_id,
            annotator_id=stage.account("ann"),
            flags=["unsafe", "unsafe"],
            comment="a threat",
        )
    assert stage.next("ann") is None
    assert stage.lend("bob").task_id == stage.lend("cleo").task_id == lent.task_id
    assert stage.next("dora") is None
    with reading(stage.engine) as session:
        row = session.exec(select(Assignment).order_by(col(Assignment.id))).first()
    assert row is not None
    assert (row.state, row.flags, row.skip_reason) == ("flagged", ["unsafe"], "a threat")


def test_a_decision_no_longer_holds_where_more_are_asked(stage: Stage) -> None:
    decided, other = stage.add_task("decided", k=2), stage.add_task("other", k=2)
    lead_id = stage.account("lead", Role.LEAD)
    for name in ("ann", "bob"):
        stage.judge(name, [1, 2])
        stage.judge(name, [1, 2])
    with writing(stage.engine) as session:
        lead = session.get_one(Account, lead_id)
        decide(session, task_id=decided, ranks=[2, 1], by=lead, nonce="a", reason="")
    both = TaskChoice(ids=[decided, other])
    change(stage, requeue, choice=both, more=1, dry_run=True)
    assert labels(stage, decided) == [[2, 1]]
    for _ in range(2):
        change(stage, requeue, choice=both, more=1)
    stage.judge("cleo", [2, 1])
    assert labels(stage, decided) == [[1, 2], [1, 2], [2, 1]]
    with reading(stage.engine) as session:
        reviews = session.exec(select(Review).order_by(col(Review.id))).all()
    assert [(one.task_id, one.decision, one.comment) for one in reviews] == [
        (decided, "decided", ""),
        (decided, "requeued", "because"),
    ]


def test_from_the_shell_a_leads_decision_is_left_to_a_lead(stage: Stage) -> None:
    decided, other = stage.add_task("decided", k=2), stage.add_task("other", k=2)
    lead_id = stage.account("lead", Role.LEAD)
    for name in ("ann", "bob"):
        stage.judge(name, [1, 2])
        stage.judge(name, [1, 2])
    with writing(stage.engine) as session:
        lead = session.get_one(Account, lead_id)
        decide(session, task_id=decided, ranks=[2, 1], by=lead, nonce="a", reason="")
    with writing(stage.engine) as session:
        shell = Account(name="the server's shell", role=Role.ADMIN)
        choice = TaskChoice(status=TaskStatus.DONE)
        done = requeue(
            session, project_id=stage.project_id, choice=choice, by=shell, reason="more", more=1
        )
    assert done == Change([other], 0, 0, 1)
    assert labels(stage, decided) == [[2, 1]]
    assert status_of(stage, other) == TaskStatus.READY


@pytest.mark.parametrize("kind", [TaskKind.GOLD, TaskKind.QUALIFICATION])
def test_known_answers_are_changed_only_where_they_are_named(stage: Stage, kind: TaskKind) -> None:
    task_id = stage.add_task("q", k=2)
    with writing(stage.engine) as session:
        lead = session.get_one(Account, stage.account("lead", Role.LEAD))
        known = make_gold(session, task_id=task_id, ranks=[1, 2], by=lead, kind=kind)
    waiting = stage.add_task("ordinary", k=2)
    policy = TaskChoice(policy_version=1, status=TaskStatus.READY)
    assert change(stage, withdraw, choice=policy) == Change([waiting], 0, 0, 0)
    assert status_of(stage, known.id or 0) == TaskStatus.READY
    assert change(stage, withdraw, choice=TaskChoice(ids=[known.id or 0])).changed == [known.id]


def test_a_task_without_limit_is_requeued_within_the_column(stage: Stage) -> None:
    task_id = stage.add_task("gold", k=2)
    with writing(stage.engine) as session:
        session.get_one(Task, task_id).overlap = WITHOUT_LIMIT
    change(stage, requeue, choice=TaskChoice(ids=[task_id]), more=1)
    with reading(stage.engine) as session:
        assert session.get_one(Task, task_id).overlap == WITHOUT_LIMIT


def labels(stage: Stage, task_id: int) -> list[list[int]]:
    found = trained_rows(stage.engine, stage.project_id)
    return list(found[found["task_id"] == task_id]["ranks"])
