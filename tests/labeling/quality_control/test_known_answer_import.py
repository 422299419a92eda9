from collections import Counter
from typing import Any

from sqlalchemy import Engine, event
from sqlmodel import col, select

from labeling.labeling_settings import change_labeling
from labeling.quality_control.known_answer_files import KnownAnswerFile, NewKnownAnswer
from labeling.quality_control.known_answer_import import import_known_answers
from storage.engine import reading, writing
from storage.tables import (
    Completion,
    Event,
    KnownAnswer,
    Project,
    Prompt,
    Task,
    TaskCompletion,
    TaskKind,
)

MANY = 120


def asked(text: str, *, k: int = 2, kind: TaskKind | None = None) -> NewKnownAnswer:
    return NewKnownAnswer(
        messages=[{"role": "user", "content": text}],
        completions=[f"{text} {place}" for place in range(k)],
        ranks=list(range(k, 0, -1)),
        explanation=f"Because {text}.",
        kind=kind,
    )


def add(engine: Engine, project: Project, *tasks: NewKnownAnswer) -> Any:
    with writing(engine) as session:
        return import_known_answers(
            session,
            project=project,
            known=KnownAnswerFile("known.jsonl", list(tasks)),
            by=None,
            heldout_share=0.0,
        )


def test_every_task_has_its_completions_answer_and_events(engine: Engine, project: Project) -> None:
    tasks = [asked("a", k=3), asked("b", kind=TaskKind.QUALIFICATION), asked("a", k=3)]
    done = add(engine, project, *tasks, asked("a", k=2))
    assert (done.gold, done.qualification, done.duplicates) == (2, 1, 1)
    with reading(engine) as session:
        found = session.exec(
            select(Task.id, Task.kind, KnownAnswer.ranks, KnownAnswer.explanation, Completion.text)
            .join(KnownAnswer, col(KnownAnswer.task_id) == Task.id)
            .join(TaskCompletion, col(TaskCompletion.task_id) == Task.id)
            .join(Completion, col(Completion.id) == TaskCompletion.completion_id)
            .order_by(col(Task.id), col(TaskCompletion.position))
        ).all()
        prompts = session.exec(select(Prompt)).all()
        told = session.exec(select(Event.kind, Event.detail)).all()
    tasks_there = list(dict.fromkeys(row[0] for row in found))
    rows = [(tasks_there.index(row[0]), *row[1:]) for row in found]
    gold, qualification = TaskKind.GOLD, TaskKind.QUALIFICATION
    assert rows == [
        *[(0, gold, [3, 2, 1], "Because a.", f"a {place}") for place in range(3)],
        *[(1, qualification, [2, 1], "Because b.", f"b {place}") for place in range(2)],
        *[(2, gold, [2, 1], "Because a.", f"a {place}") for place in range(2)],
    ]
    assert sorted(prompt.messages[0]["content"] for prompt in prompts) == ["a", "b"]
    assert [
        (detail["task_id"], detail["task_kind"], detail["ranks"])
        for kind, detail in told
        if kind == "known_answer.added"
    ] == [
        (tasks_there[0], "gold", [3, 2, 1]),
        (tasks_there[1], "qualification", [2, 1]),
        (tasks_there[2], "gold", [2, 1]),
    ]
    assert Counter(kind for kind, _ in told)["task.added"] == 3


def test_the_work_of_a_task_does_not_grow_with_the_file(engine: Engine, project: Project) -> None:
    with writing(engine) as session:
        here = session.get_one(Project, project.id)
        change_labeling(
            session,
            project=here,
            by=None,
            section="assignment",
            values={"pool_shares": {"medicine": 1.0}},
        )
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(str(given[2])))
    add(engine, project, *[asked(str(number)) for number in range(MANY)])
    # Two events of each, and a few statements for all of them together.
    assert len(statements) < 2 * MANY + 30
    with reading(engine) as session:
        assert set(session.exec(select(Task.pool)).all()) == {""}


def test_the_same_file_adds_nothing(engine: Engine, project: Project) -> None:
    add(engine, project, asked("a"), asked("b"))
    done = add(engine, project, asked("a"), asked("b"))
    assert (done.gold, done.qualification, done.duplicates) == (0, 0, 2)
