from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import select

from labeling.labeling_settings import change_labeling
from labeling.quality_control.known_answers import make_gold, withdraw_known_answer
from labeling.review.adjudication import requeue as give_to_one_more
from labeling.work_queue.mixture import chance
from labeling.work_queue.queue import TaskChoice, requeue
from storage.engine import reading, writing
from storage.errors import Conflict
from storage.tables import Project, Role, Task, TaskKind
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=2)
    stage.account("lena", Role.LEAD)
    return stage


def rates(stage: Stage, **values: float | bool | int) -> None:
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        change_labeling(session, project=project, by=None, section="gold", values=values)


def add_gold(stage: Stage, text: str, ranks: list[int], explanation: str = "") -> int:
    original = stage.add_task(text, k=len(ranks))
    with writing(stage.engine) as session:
        gold = make_gold(
            session,
            task_id=original,
            ranks=ranks,
            by=stage.accounts["lena"],
            explanation=explanation,
        )
        # Only the copies are under test: nobody is to meet the originals.
        session.get_one(Task, original).status = "withdrawn"  # type: ignore[assignment]
        return gold.id or 0


def kind_of(stage: Stage, task_id: int) -> TaskKind:
    with reading(stage.engine) as session:
        return session.get_one(Task, task_id).kind


def test_gold_goes_to_everyone_once(stage: Stage) -> None:
    rates(stage, rate=1.0, repeat_rate=0.0)
    golds = {add_gold(stage, "g0", [1, 2]), add_gold(stage, "g1", [2, 1])}
    stage.add_task("ordinary")
    for name in ("ann", "bob", "cleo"):
        first, second = (stage.lend(name) for _ in range(2))
        assert first.task_id == second.task_id, "a live lease comes back"
        stage.submit(name, first, [1, 2], f"{name}-1")
        other = stage.lend(name)
        stage.submit(name, other, [1, 2], f"{name}-2")
        assert {first.task_id, other.task_id} == golds
    assert kind_of(stage, stage.lend("ann").task_id) == TaskKind.ORDINARY


def test_who_met_the_original_is_not_lent_the_gold_task(stage: Stage) -> None:
    rates(stage, rate=1.0, repeat_rate=0.0)
    original = stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])
    with writing(stage.engine) as session:
        gold = make_gold(session, task_id=original, ranks=[1, 2], by=stage.accounts["lena"])
    assert stage.next("ann") is None
    assert stage.lend("bob").task_id == gold.id


def test_an_original_is_not_given_back_while_its_copy_is_in_force(stage: Stage) -> None:
    """Whoever met the copy would know it again, and so that the copy was gold."""
    rates(stage, rate=1.0, repeat_rate=0.0)
    original = stage.add_task("t", k=2)
    lead = stage.accounts["lena"]
    with writing(stage.engine) as session:
        gold = make_gold(session, task_id=original, ranks=[1, 2], by=lead)
    stage.judge("ann", [1, 2])
    back = {"project_id": stage.project_id, "choice": TaskChoice(ids=[original]), "by": lead}
    with writing(stage.engine) as session:
        done = requeue(session, **back, reason="again", more=1)  # type: ignore[arg-type]
        assert (done.changed, done.unfit) == ([], 1)
    with writing(stage.engine) as session, pytest.raises(Conflict, match="withdraw the copy"):
        give_to_one_more(session, task_id=original, by=lead, nonce="r")
    assert stage.next("ann") is None
    with writing(stage.engine) as session:
        withdraw_known_answer(session, task_id=gold.id or 0, by=lead)
        assert requeue(session, **back, reason="no gold now").changed == [original]  # type: ignore[arg-type]
    assert stage.lend("bob").task_id == original


def test_the_rate_holds_and_no_two_annotators_draw_alike(stage: Stage) -> None:
    drawn = {
        annotator: [chance(stage.project, annotator, turn, "kind") for turn in range(2000)]
        for annotator in (1, 2)
    }
    for values in drawn.values():
        assert sum(value < 0.05 for value in values) / 2000 == pytest.approx(0.05, abs=0.02)
    assert drawn[1] != drawn[2]
    assert chance(stage.project, 1, 7, "kind") == drawn[1][7]
    other = Project(id=stage.project.id, name="other")
    assert chance(other, 1, 7, "kind") != drawn[1][7]


def test_feedback_is_given_by_setting_and_for_the_first_answer(stage: Stage) -> None:
    rates(stage, rate=1.0, repeat_rate=0.0, feedback=True)
    add_gold(stage, "g0", [1, 2, 3], "The first is right.")
    task = stage.lend("ann")
    said = stage.submit("ann", task, [1, 3, 2], "n1").feedback
    assert "on 2 of 3 pairs. The first is right." in said
    assert stage.submit("ann", task, [1, 2, 3], "n2").feedback == ""
    rates(stage, feedback=False)
    task = stage.lend("bob")
    assert stage.submit("bob", task, [1, 2, 3], "n3").feedback == ""


def test_a_repeat_is_for_its_annotator_and_shown_otherwise(stage: Stage) -> None:
    rates(stage, rate=0.0, repeat_rate=0.0)
    for number in range(3):
        stage.add_task(f"t{number}", k=2)
    first = stage.lend("ann")
    stage.submit("ann", first, [1, 2], "n0")
    stage.judge("ann", [1, 2])
    rates(stage, repeat_rate=1.0, repeat_after=1)
    repeat = stage.lend("ann")
    with reading(stage.engine) as session:
        task = session.get_one(Task, repeat.task_id)
        assert (task.kind, task.repeats_id) == (TaskKind.REPEAT, first.task_id)
        assert task.for_annotator_id == stage.account("ann")
    assert repeat.display_order != first.display_order
    assert sorted(repeat.completions) == sorted(first.completions)
    assert kind_of(stage, stage.lend("bob").task_id) == TaskKind.ORDINARY
    stage.submit("ann", repeat, [1, 2], "n1")
    # The two tasks that are old enough by then are repeated once each, and no repeat is.
    stage.judge("ann", [1, 2])
    with reading(stage.engine) as session:
        kinds = Counter(session.exec(select(Task.kind)).all())
    assert kinds == {TaskKind.ORDINARY: 3, TaskKind.REPEAT: 2}


def test_a_repeat_that_was_put_off_comes_back(stage: Stage) -> None:
    rates(stage, rate=0.0, repeat_rate=0.0)
    stage.add_task("t0", k=2)
    stage.add_task("t1", k=2)
    stage.judge("ann", [1, 2])
    stage.judge("ann", [1, 2])
    rates(stage, repeat_rate=1.0, repeat_after=1)
    repeat = stage.lend("ann", minutes=0)
    assert stage.lend("ann", minutes=0).task_id == repeat.task_id


def test_looking_for_special_tasks_reads_no_ordinary_ones(
    sqlite_engine: Engine, sqlite_project: Project
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project)
    stage.account("lena", Role.LEAD)
    add_gold(stage, "g0", [1, 2])
    rates(stage, rate=1.0)
    asked: list[tuple[str, Any]] = []

    @event.listens_for(sqlite_engine, "before_cursor_execute")
    def _keep(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "task.kind IN" in statement and statement.startswith("SELECT"):
            asked.append((statement, parameters))

    stage.lend("ann")
    assert asked
    with sqlite_engine.connect() as connection:
        for statement, parameters in list(asked):
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            steps = [str(step[3]) for step in plan]
            assert any("ix_task_special" in step for step in steps), steps
            assert not any(step.startswith("SCAN task") for step in steps), steps
