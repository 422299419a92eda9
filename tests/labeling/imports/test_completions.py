"""Completions from elsewhere become tasks that people rank."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.imports.completions import import_completions, in_tasks, stage_completions
from labeling.imports.preference_rows.imported import ImportedCompletion
from labeling.imports.staging import Staging
from labeling.work_queue.assignment import next_assignment
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict
from storage.tables import Completion, Import, Policy, Project, Task, TaskCompletion, TaskStatus
from tests.labeling.imports.test_preferences import write
from tests.sample_rows import add_account, add_policy

ROWS = [
    {"prompt": "One?", "completion": "a", "model": "m1"},
    {"prompt": "Two?", "completions": ["c", {"text": "d", "model": "m2"}], "model": "m1"},
    {"prompt": "One?", "completion": "b", "model": "m2"},
    {"prompt": "Alone?", "completion": "e", "model": "m1"},
]


def bring(engine: Engine, path: Path, **options: Any) -> Import:
    with Staging() as staging, writing(engine) as session:
        staged = stage_completions(staging, path)
        project = session.exec(select(Project)).one()
        return import_completions(
            session, project=project, staged=staged, by=None, heldout_share=0.0, **options
        )


def tasks_of(engine: Engine) -> list[tuple[Task, list[tuple[str, str]]]]:
    with reading(engine) as session:
        found = []
        for task in session.exec(select(Task).order_by(col(Task.id))).all():
            rows = session.exec(
                select(Completion.text, Policy.name)
                .join(TaskCompletion, col(TaskCompletion.completion_id) == col(Completion.id))
                .join(Policy, col(Policy.id) == col(Completion.policy_id))
                .where(TaskCompletion.task_id == task.id)
            ).all()
            found.append((task, [(row[0], row[1]) for row in rows]))
        return found


def test_people_can_rank_them(engine: Engine, project: Project, tmp_path: Path) -> None:
    add_policy(engine, project)
    done = bring(engine, write(tmp_path / "answers.jsonl", ROWS), overlap=2, priority=3)
    found = tasks_of(engine)
    assert sorted(sorted(texts) for _, texts in found) == [
        [("a", "m1"), ("b", "m2")],
        [("c", "m1"), ("d", "m2")],
    ]
    for task, _ in found:
        assert (task.status, task.overlap, task.priority) == (TaskStatus.READY, 2, 3)
        assert task.import_id == done.id
    assert done.counts["nothing_to_compare"] == 1
    annotator = add_account(engine)
    with writing(engine) as session:
        lent = next_assignment(
            session, project_id=project.id or 0, annotator_id=annotator.id or 0, minutes=5
        )
    assert lent is not None and sorted(lent.completions) in (["a", "b"], ["c", "d"])


def test_the_same_file_and_one_with_nothing_to_rank_are_refused(
    sqlite_engine: Engine, sqlite_project: Project, tmp_path: Path
) -> None:
    bring(sqlite_engine, write(tmp_path / "answers.jsonl", ROWS))
    with pytest.raises(Conflict, match="very file"):
        bring(sqlite_engine, tmp_path / "answers.jsonl")
    with pytest.raises(BadInput, match="no prompt has two different completions"):
        bring(sqlite_engine, write(tmp_path / "same.jsonl", [ROWS[0], ROWS[0]]))
    with reading(sqlite_engine) as session:
        assert len(session.exec(select(Import)).all()) == 1
    assert sqlite_project.id == 1


def test_a_row_names_its_bad_field(sqlite_engine: Engine, tmp_path: Path) -> None:
    path = write(tmp_path / "answers.jsonl", [*ROWS, {"prompt": "x", "completions": ["a", 3]}])
    with pytest.raises(BadInput, match=r"line 5, field completions\[1\]: it must be text"):
        bring(sqlite_engine, path)


@given(
    models=st.lists(st.sampled_from("abc"), min_size=0, max_size=30),
    most=st.integers(2, 9),
)
@settings(max_examples=100, deadline=None)
def test_tasks_are_even_and_lose_at_most_one(models: Sequence[str], most: int) -> None:
    given_ones = [ImportedCompletion(f"text {at}", model) for at, model in enumerate(models)]
    tasks = list(in_tasks(given_ones, most))
    sizes = [len(task) for task in tasks]
    assert all(2 <= size <= most for size in sizes)
    assert not sizes or max(sizes) - min(sizes) <= 1
    kept = [one for task in tasks for one in task]
    assert len(set(kept)) == len(kept)
    lost = len(given_ones) - len(kept)
    assert lost == (len(given_ones) % 2 if most == 2 or len(given_ones) == 1 else 0)


def test_a_task_compares_different_models() -> None:
    found = [ImportedCompletion(f"{model} {at}", model) for model in "ab" for at in range(3)]
    assert [sorted(one.model for one in task) for task in in_tasks(found, 2)] == [["a", "b"]] * 3
