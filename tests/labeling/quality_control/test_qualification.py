import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.judging.judgments import skip_assignment
from labeling.labeling_settings import change_labeling
from labeling.quality_control.known_answers import make_gold, withdraw_known_answer
from labeling.quality_control.qualification import (
    NotQualified,
    Standing,
    reset_qualification,
    standing,
    under_way,
    wave_through,
)
from labeling.quality_control.qualification_attempts import set_of
from labeling.work_queue.assignment import AssignedTask
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, AccountKind, Event, Project, Role, Task, TaskKind
from tests.labeling.stage import Stage, set_stage

RIGHT, WRONG = [1, 2, 3], [3, 2, 1]


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Return a project with two qualification tasks, pass mark 0.75, and an ordinary task."""
    stage = set_stage(engine, project, overlap=9)
    stage.account("lena", Role.LEAD)
    for number in range(2):
        original = stage.add_task(f"q{number}", k=3)
        with writing(engine) as session:
            make_gold(
                session,
                task_id=original,
                ranks=RIGHT,
                by=stage.accounts["lena"],
                kind=TaskKind.QUALIFICATION,
            )
            session.get_one(Task, original).status = "withdrawn"  # type: ignore[assignment]
    with writing(engine) as session:
        project = session.get_one(Project, stage.project_id)
        none = {"rate": 0.0, "repeat_rate": 0.0}
        change_labeling(session, project=project, by=None, section="gold", values=none)
    stage.add_task("ordinary", k=3)
    return stage


def take(stage: Stage, name: str, *answers: list[int]) -> list[str]:
    """Judge one task after the other; return what the annotator was told."""
    said = []
    for ranks in answers:
        task = stage.lend(name)
        assert kind_of(stage, task) == TaskKind.QUALIFICATION
        said.append(stage.submit(name, task, ranks, f"{name}-{task.task_id}").feedback)
    return said


def kind_of(stage: Stage, task: AssignedTask) -> TaskKind:
    with reading(stage.engine) as session:
        return session.get_one(Task, task.task_id).kind


def stands(stage: Stage, name: str) -> Standing:
    with reading(stage.engine) as session:
        return standing(session, project_id=stage.project_id, account_id=stage.account(name))


def test_real_work_comes_after_the_pass_mark(stage: Stage) -> None:
    said = take(stage, "ann", RIGHT, [1, 1, 2])
    assert said[0] == "" and "passed the qualification: 92% of the pairs" in said[1]
    assert kind_of(stage, stage.lend("ann")) == TaskKind.ORDINARY
    found = stands(stage, "ann")
    assert found.attempt is not None
    assert (found.tasks, found.done, found.attempt.passed) == (2, 2, True)
    assert (found.attempt.correct, found.attempt.pairs) == (5.5, 6)


def test_exactly_the_pass_mark_is_enough(engine: Engine, project: Project) -> None:
    # 0.56 * 25 is 14.000000000000002 in floating point.
    stage = set_stage(engine, project, overlap=9)
    stage.account("lena", Role.LEAD)
    stage.change("qualification", pass_mark=0.56)
    for k in (5, 6):
        original = stage.add_task(f"q{k}", k=k)
        with writing(engine) as session:
            make_gold(
                session,
                task_id=original,
                ranks=list(range(1, k + 1)),
                by=stage.accounts["lena"],
                kind=TaskKind.QUALIFICATION,
            )
    said = take(stage, "ann", [1, 2, 3, 4, 5], [6, 4, 5, 1, 2, 3])
    found = stands(stage, "ann").attempt
    assert found is not None
    assert (found.correct, found.pairs, found.passed) == (14, 25, True)
    assert "passed the qualification: 56% of the pairs" in said[1]


def test_who_fails_tries_again_with_copies_then_asks_a_lead(stage: Stage) -> None:
    first = stage.lend("ann")
    said = take(stage, "ann", RIGHT, WRONG)
    assert "50% of the pairs right; 75% are needed. Read the guidelines again" in said[1]
    second = stage.lend("ann")
    assert second.task_id != first.task_id
    assert second.messages == first.messages and second.display_order != first.display_order
    said = take(stage, "ann", WRONG, WRONG)
    assert "Ask a lead" in said[1]
    with pytest.raises(NotQualified, match="0% of the qualification's pairs right"):
        stage.next("ann")


def test_a_task_that_is_put_aside_gives_no_points(stage: Stage) -> None:
    take(stage, "ann", RIGHT)
    task = stage.lend("ann")
    with writing(stage.engine) as session:
        skip_assignment(
            session,
            assignment_id=task.assignment_id,
            annotator_id=stage.account("ann"),
            reason="hard",
        )
    found = stands(stage, "ann").attempt
    assert found is not None
    assert (found.passed, found.correct, found.pairs) == (False, 3, 6)


def test_a_correction_counts_until_the_attempt_is_decided(stage: Stage) -> None:
    task = stage.lend("ann")
    stage.submit("ann", task, WRONG, "n1")
    stage.submit("ann", task, RIGHT, "n2")
    take(stage, "ann", RIGHT)
    found = stands(stage, "ann").attempt
    assert found is not None and (found.passed, found.correct) == (True, 6)
    stage.submit("ann", task, WRONG, "n4")
    found = stands(stage, "ann").attempt
    assert found is not None and found.passed


def test_an_attempt_whose_last_task_is_withdrawn_is_decided_and_kept(stage: Stage) -> None:
    stage.change("qualification", attempts=1)
    take(stage, "ann", WRONG)
    with reading(stage.engine) as session:
        found = stands(stage, "ann").attempt
        assert found is not None
        left = session.get_one(Task, max(found.task_ids))
    with writing(stage.engine) as session:
        withdraw_known_answer(session, task_id=left.id or 0, by=stage.accounts["lena"])
    assert stage.next("ann") is None, "an error would undo the decision"
    found = stands(stage, "ann").attempt
    assert found is not None and found.passed is False
    with pytest.raises(NotQualified, match="0% of the qualification's pairs right"):
        stage.next("ann")


def withdraw(stage: Stage, *task_ids: int) -> None:
    with writing(stage.engine) as session:
        for task_id in task_ids:
            withdraw_known_answer(session, task_id=task_id, by=stage.accounts["lena"])


def add_to_set(stage: Stage, text: str) -> int:
    original = stage.add_task(text, k=3)
    with writing(stage.engine) as session:
        lead = stage.accounts["lena"]
        kind = TaskKind.QUALIFICATION
        return make_gold(session, task_id=original, ranks=RIGHT, by=lead, kind=kind).id or 0


def asked_as(stage: Stage, name: str, task: AssignedTask) -> tuple[int, int] | None:
    me = stage.account(name)
    with reading(stage.engine) as session:
        return under_way(session, project_id=stage.project_id, account_id=me, task_id=task.task_id)


def set_in_force(stage: Stage) -> list[int]:
    with reading(stage.engine) as session:
        return set_of(session, project_id=stage.project_id)


def test_a_set_that_is_withdrawn_in_an_attempt_ends_in_real_work(stage: Stage) -> None:
    take(stage, "ann", WRONG)
    held = stage.lend("ann")
    assert asked_as(stage, "ann", held) == (2, 2)
    withdraw(stage, *set_in_force(stage))
    real = stage.lend("ann")
    assert kind_of(stage, real) == TaskKind.ORDINARY
    assert asked_as(stage, "ann", real) is None, "real work is no test"
    assert stands(stage, "ann").tasks == 0
    # What was at hand may still be sent, and is no reason to try once more.
    late = stage.submit("ann", held, WRONG, "late")
    assert late.stored
    assert late.feedback == ""


def test_what_is_withdrawn_before_it_is_asked_is_not_counted(stage: Stage) -> None:
    first = stage.lend("ann")
    withdraw(stage, max(set_in_force(stage)))
    assert asked_as(stage, "ann", first) == (1, 1)
    found = stands(stage, "ann")
    assert (found.tasks, found.done) == (1, 0)
    said = stage.submit("ann", first, RIGHT, "n1").feedback
    assert "passed the qualification: 100% of the pairs" in said


def test_a_new_set_is_asked_of_whoever_had_answered_nothing_of_the_old(stage: Stage) -> None:
    stage.lend("ann")
    withdraw(stage, *set_in_force(stage))
    new = add_to_set(stage, "new")
    task = stage.lend("ann")
    assert task.task_id == new
    assert asked_as(stage, "ann", task) == (1, 1)
    take(stage, "ann", WRONG)
    found = stands(stage, "ann").attempt
    assert found is not None and found.passed is False


def test_a_task_that_is_withdrawn_is_not_asked_in_further_attempts_either(stage: Stage) -> None:
    take(stage, "ann", WRONG, WRONG)
    second = stage.lend("ann")
    with reading(stage.engine) as session:
        original = session.get_one(Task, second.task_id).repeats_id or 0
    withdraw(stage, original)
    other = stage.lend("ann")
    assert kind_of(stage, other) == TaskKind.QUALIFICATION
    assert other.messages != second.messages
    assert asked_as(stage, "ann", other) == (1, 1)


def test_simulated_annotators_take_no_test(stage: Stage) -> None:
    with writing(stage.engine) as session:
        simulated = session.get_one(Account, stage.account("sim-1"))
        simulated.kind = AccountKind.SIMULATED
        session.add(simulated)
    assert kind_of(stage, stage.lend("sim-1")) == TaskKind.ORDINARY


def test_a_lead_waves_through_and_resets(stage: Stage) -> None:
    lead, ann = stage.accounts["lena"], stage.account("ann")
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        wave_through(session, project=project, account_id=ann, by=lead)
    assert kind_of(stage, stage.lend("ann")) == TaskKind.ORDINARY
    take(stage, "bob", WRONG, WRONG, WRONG, WRONG)
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        reset_qualification(session, project=project, account_id=stage.account("bob"), by=lead)
    take(stage, "bob", RIGHT, RIGHT)
    assert kind_of(stage, stage.lend("bob")) == TaskKind.ORDINARY
    with reading(stage.engine) as session:
        kinds = session.exec(select(Event.kind).where(Event.account_id == lead.id)).all()
    assert {"qualification.waved_through", "qualification.reset"} <= set(kinds)


def test_only_leads_wave_through(stage: Stage) -> None:
    ann = stage.account("ann")
    with writing(stage.engine) as session, pytest.raises(NotAllowed):
        wave_through(
            session,
            project=session.get_one(Project, stage.project_id),
            account_id=ann,
            by=stage.accounts["ann"],
        )


def test_leads_and_projects_without_a_set_need_none(stage: Stage) -> None:
    assert kind_of(stage, stage.lend("lena")) == TaskKind.ORDINARY
    with writing(stage.engine) as session:
        for task_id in session.exec(
            select(Task.id).where(Task.kind == TaskKind.QUALIFICATION)
        ).all():
            withdraw_known_answer(session, task_id=task_id or 0, by=stage.accounts["lena"])
    assert kind_of(stage, stage.lend("ann")) == TaskKind.ORDINARY
