"""What is put aside by some and closed to all goes to the lead; tests stay in their sets."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from labeling.judging.judgments import flag_assignment, skip_assignment
from labeling.quality_control.known_answers import make_gold
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import Account, Assignment, Project, Role, Task, TaskKind, TaskStatus
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(sqlite_engine: Engine, sqlite_project: Project) -> Stage:
    stage = set_stage(sqlite_engine, sqlite_project, overlap=2)
    stage.account("lena", Role.LEAD)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    return stage


def put_aside(stage: Stage, name: str, assignment_id: int = 0, deed: str = "skip") -> str:
    own: dict[str, Any] = {
        "assignment_id": assignment_id or stage.lend(name).assignment_id,
        "annotator_id": stage.account(name),
    }
    with writing(stage.engine) as session:
        if deed == "skip":
            return skip_assignment(session, reason="hard", **own)
        return flag_assignment(session, flags=["unsafe"], **own)


def status_of(stage: Stage, task_id: int) -> TaskStatus:
    with reading(stage.engine) as session:
        return session.get_one(Task, task_id).status


@pytest.mark.parametrize("deeds", ["skip submit", "submit skip", "flag submit"])
def test_one_puts_aside_and_one_judges_and_nobody_is_left(stage: Stage, deeds: str) -> None:
    task_id = stage.add_task("t", k=2)
    for name in ("ann", "bob"):
        stage.account(name)
    for name, deed in zip(("ann", "bob"), deeds.split(), strict=True):
        assert status_of(stage, task_id) is TaskStatus.READY
        if deed == "submit":
            stage.judge(name, [1, 2])
        else:
            put_aside(stage, name, deed=deed)
    assert status_of(stage, task_id) is TaskStatus.REVIEW


def test_what_is_only_judged_waits_for_annotators_not_for_the_lead(stage: Stage) -> None:
    task_id = stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])
    assert status_of(stage, task_id) is TaskStatus.READY
    stage.judge("bob", [1, 2])
    assert status_of(stage, task_id) is TaskStatus.DONE


def test_an_expired_lease_counts_as_long_as_its_annotator_may_judge(stage: Stage) -> None:
    first, second = stage.add_task("t", k=2), stage.add_task("u", k=2)
    lent = stage.lend("bob")
    put_aside(stage, "ann")
    with writing(stage.engine) as session:
        row = session.get_one(Assignment, lent.assignment_id)
        row.expires_at = now() - timedelta(minutes=1)
    assert status_of(stage, first) is TaskStatus.READY, "bob can take it up again"
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("bob")).active = False
    stage.account("cleo")
    put_aside(stage, "cleo")
    assert status_of(stage, first) is TaskStatus.REVIEW
    assert status_of(stage, second) is TaskStatus.READY


@pytest.mark.parametrize("kind", [TaskKind.GOLD, TaskKind.QUALIFICATION])
def test_a_test_that_all_put_aside_stays_in_its_set(stage: Stage, kind: TaskKind) -> None:
    original = stage.add_task("g", k=2)
    with writing(stage.engine) as session:
        lead = stage.accounts["lena"]
        known = make_gold(session, task_id=original, ranks=[1, 2], by=lead, kind=kind)
        session.get_one(Task, original).status = TaskStatus.WITHDRAWN
    stage.change("gold", rate=1.0)
    lent = stage.lend("ann")
    assert lent.task_id == known.id
    put_aside(stage, "ann", lent.assignment_id)
    assert status_of(stage, lent.task_id) is TaskStatus.READY
    assert stage.lend("bob").task_id == lent.task_id


def test_ones_own_repeat_is_no_matter_for_the_lead(stage: Stage) -> None:
    for text in ("a", "b"):
        stage.add_task(text, k=2)
        stage.judge("ann", [1, 2])
    stage.change("gold", repeat_rate=1.0, repeat_after=1)
    repeat = stage.lend("ann")
    put_aside(stage, "ann", repeat.assignment_id)
    with reading(stage.engine) as session:
        task = session.get_one(Task, repeat.task_id)
    assert (task.kind, task.status) == (TaskKind.REPEAT, TaskStatus.READY)
    following = stage.next("ann")
    assert following is None or following.task_id != repeat.task_id


@pytest.mark.parametrize("deed", ["skip", "flag", "submit"])
def test_a_retry_hears_the_result_of_the_qualification_too(stage: Stage, deed: str) -> None:
    original = stage.add_task("q", k=2)
    with writing(stage.engine) as session:
        lead, kind = stage.accounts["lena"], TaskKind.QUALIFICATION
        make_gold(session, task_id=original, ranks=[1, 2], by=lead, kind=kind)
    lent = stage.lend("ann")

    def do() -> str:
        if deed == "submit":
            return stage.submit("ann", lent, [2, 1], "n1").feedback
        return put_aside(stage, "ann", lent.assignment_id, deed)

    said = do()
    assert "0% of the pairs right" in said
    assert do() == said


def test_a_retry_hears_of_the_gold_answer_too_and_the_correction_still_does_not(
    stage: Stage,
) -> None:
    original = stage.add_task("g", k=2)
    with writing(stage.engine) as session:
        make_gold(session, task_id=original, ranks=[1, 2], by=stage.accounts["lena"])
    stage.change("gold", rate=1.0, feedback=True)
    lent = stage.lend("ann")
    first = stage.submit("ann", lent, [1, 2], "n1")
    assert "you agreed with it" in first.feedback
    assert stage.submit("ann", lent, [1, 2], "n1") == first
    for _ in range(2):
        assert stage.submit("ann", lent, [2, 1], "n2").feedback == ""
