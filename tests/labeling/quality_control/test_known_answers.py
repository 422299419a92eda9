import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.quality_control.known_answers import (
    known_by_copy,
    make_gold,
    score,
    withdraw_known_answer,
)
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import (
    KnownAnswer,
    Project,
    Role,
    Task,
    TaskCompletion,
    TaskKind,
    TaskStatus,
)
from tests.labeling.stage import Stage, set_stage


@pytest.mark.parametrize(
    ("ranks", "known", "correct", "pairs"),
    [
        ([1, 2, 3], [1, 2, 3], 3.0, 3),
        ([3, 2, 1], [1, 2, 3], 0.0, 3),
        ([1, 1, 1], [1, 2, 3], 1.5, 3),
        ([1, 2, 3], [1, 1, 2], 2.5, 3),
        ([1, 1, 2], [1, 1, 2], 3.0, 3),
        ([1, 3, 2], [1, 2, 3], 2.0, 3),
        ([2, 1], [1, 2], 0.0, 1),
    ],
)
def test_score(ranks: list[int], known: list[int], correct: float, pairs: int) -> None:
    found = score(ranks, known)
    assert (found.correct, found.pairs) == (correct, pairs)


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project)
    stage.account("lena", Role.LEAD)
    return stage


def gold_of(stage: Stage, task_id: int, ranks: list[int], by: str = "lena") -> int:
    stage.account(by)
    with writing(stage.engine) as session:
        gold = make_gold(session, task_id=task_id, ranks=ranks, by=stage.accounts[by])
        return gold.id or 0


def test_gold_is_a_copy_with_the_same_positions(stage: Stage) -> None:
    original = stage.add_task("t", k=3)
    gold_id = gold_of(stage, original, [2, 1, 1])
    with reading(stage.engine) as session:
        gold = session.get_one(Task, gold_id)
        assert (gold.kind, gold.status, gold.repeats_id) == ("gold", "ready", original)
        assert session.get_one(Task, original).kind == TaskKind.ORDINARY
        assert session.get_one(KnownAnswer, gold_id).ranks == [2, 1, 1]
        held = [
            session.exec(
                select(TaskCompletion.completion_id)
                .where(TaskCompletion.task_id == task_id)
                .order_by(TaskCompletion.position)  # type: ignore[arg-type]
            ).all()
            for task_id in (original, gold_id)
        ]
        assert held[0] == held[1]


def test_a_task_is_gold_once(stage: Stage) -> None:
    original = stage.add_task("t", k=2)
    gold_id = gold_of(stage, original, [1, 2])
    with pytest.raises(Conflict, match="gold task already"):
        gold_of(stage, original, [2, 1])
    with writing(stage.engine) as session:
        withdraw_known_answer(session, task_id=gold_id, by=stage.accounts["lena"])
    with reading(stage.engine) as session:
        assert session.get_one(Task, gold_id).status == TaskStatus.WITHDRAWN
    assert gold_of(stage, original, [2, 1]) != gold_id


def test_the_original_is_lent_to_nobody_who_could_know_its_answer(
    engine: Engine, project: Project
) -> None:
    stage = set_stage(engine, project, overlap=2)
    stage.account("lena", Role.LEAD)
    original = stage.add_task("t", k=2)
    held = stage.lend("ann")
    gold_id = gold_of(stage, original, [1, 2])
    stage.change("gold", rate=1.0)
    assert stage.lend("bob").task_id == gold_id
    assert stage.judge("bob", [2, 1]).stored
    assert stage.next("bob") is None
    assert stage.submit("ann", held, [1, 2], "held").stored
    gold_again = gold_of_kind(stage, gold_id)
    with reading(engine) as session:
        assert session.get_one(Task, gold_id).status == TaskStatus.READY
        assert session.get_one(KnownAnswer, gold_again).ranks == [1, 2]


def gold_of_kind(stage: Stage, task_id: int) -> int:
    """Make a qualification task of a gold task."""
    with writing(stage.engine) as session:
        made = make_gold(
            session,
            task_id=task_id,
            ranks=[1, 2],
            by=stage.accounts["lena"],
            kind=TaskKind.QUALIFICATION,
        )
        return made.id or 0


def test_what_does_not_fit_is_refused(stage: Stage) -> None:
    original = stage.add_task("t", k=3)
    with pytest.raises(BadInput, match="3 completions"):
        gold_of(stage, original, [1, 2])
    with pytest.raises(NotFound):
        gold_of(stage, 999, [1, 2])
    with pytest.raises(NotAllowed):
        gold_of(stage, original, [1, 2, 3], by="ann")


def test_copies_are_found_among_more_tasks_than_a_statement_takes(stage: Stage) -> None:
    original = stage.add_task("one", k=2)
    with writing(stage.engine) as session:
        make_gold(session, task_id=original, ranks=[1, 2], by=stage.accounts["lena"])
        many = range(original, original + 300_000)
        assert known_by_copy(session, task_ids=many) == {original}
        assert known_by_copy(session, task_ids=many[1:]) == set()
