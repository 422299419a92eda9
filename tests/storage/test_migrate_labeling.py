"""A database of the first release comes up to the tables of labeling with everything in it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, MetaData, text
from sqlmodel import col, select

from labeling.judging.judgments import count_judgments, submit_judgment
from labeling.labeling_settings import LabelingSettings, labeling_settings
from labeling.work_queue.assignment import next_assignment
from storage.engine import build_engine, reading, writing
from storage.migrate import alembic_config, migrating, upgrade
from storage.tables import (
    Assignment,
    Demonstration,
    GuidelineVersion,
    Judgment,
    Project,
    Prompt,
    Task,
    TaskKind,
    TaskStatus,
)

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def rows(overlap: int) -> dict[str, list[dict[str, Any]]]:
    """Return rows of revision 0001: tasks 1 (judged by both), 2 (by one, corrected) and 3."""
    submitted = [(1, 1, 1), (2, 1, 2), (3, 2, 1)]
    first = [
        {"id": key, "task_id": task, "assignment_id": key, "annotator_id": annotator,
         "ranks": [1, 2], "supersedes_id": None}
        for key, task, annotator in submitted
    ]  # fmt: skip
    second = {**first[2], "id": 4, "ranks": [2, 1], "supersedes_id": 3}
    common = {"project_id": 1, "likert": {}, "flags": ["other"], "rationale": "因为",
              "created_at": AT, "milliseconds": 900, "display_order": [1, 0]}  # fmt: skip
    tasks = [
        {"id": number, "project_id": 1, "prompt_id": 1, "policy_id": 1, "overlap": overlap,
         "priority": number, "kind": kind, "status": "done" if number == 1 else "ready",
         "created_at": AT}
        for number, kind in ((1, "ordinary"), (2, "ordinary"), (3, "gold"))
    ]  # fmt: skip
    leases = [
        {"id": key, "task_id": task, "annotator_id": annotator, "state": state, "leased_at": AT,
         "expires_at": AT + timedelta(minutes=5), "order_seed": 2**40, "display_order": [1, 0],
         "skip_reason": "hard" if state == "skipped" else None, "draft": None}
        for key, task, annotator, state in (
            *((*each, "submitted") for each in submitted), (4, 3, 1, "skipped")
        )
    ]  # fmt: skip
    return {
        "account": [
            {"id": key, "name": name, "role": "annotator", "kind": "person", "active": True,
             "created_at": AT}
            for key, name in ((1, "ann"), (2, "bob"))
        ],
        "project": [
            {"id": key, "name": name, "guidelines": guidelines, "criteria": [], "system_prompt": "",
             "completions_per_task": 2, "overlap": overlap, "training": {}, "created_at": AT}
            for key, name, guidelines in ((1, "default", "# Be kind"), (2, "other", ""))
        ],
        "prompt": [
            {"id": 1, "project_id": 1, "messages": [{"role": "user", "content": "Why?"}],
             "content_sha256": "0" * 64, "source": "", "license": "", "split": "train",
             "created_at": AT}
        ],
        "policy": [
            {"id": 1, "project_id": 1, "version": 1, "name": "", "checkpoint_uri": "",
             "kind": "local", "status": "live", "created_at": AT}
        ],
        "completion": [
            {"id": key, "prompt_id": 1, "policy_id": 1, "text": f"Because {key}.", "sampling": {},
             "seed": 1, "finish_reason": "stop", "token_count": 3, "created_at": AT}
            for key in (1, 2)
        ],
        "task": tasks,
        "task_completion": [
            {"task_id": task, "position": position, "completion_id": position + 1}
            for task in (1, 2, 3) for position in (0, 1)
        ],
        "assignment": leases,
        "judgment": [
            {**common, **each, "nonce": f"n{each['id']}"} for each in (*first, second)
        ],
        "demonstration": [
            {"id": 1, "prompt_id": 1, "annotator_id": 1, "text": "So.", "created_at": AT}
        ],
    }  # fmt: skip


@pytest.fixture
def old_url(empty_url: str) -> str:
    """Return the URL of a database of revision 0001 with rows in every table that changes."""
    with migrating(empty_url) as connection:
        command.upgrade(alembic_config(connection), "0001")
    engine = build_engine(empty_url)
    with engine.connect().execution_options(rankloop_write=True) as connection:
        _insert(connection)
        connection.commit()
    engine.dispose()
    return empty_url


def _insert(connection: Connection) -> None:
    tables = MetaData()
    tables.reflect(connection)
    for name, values in rows(overlap=2).items():
        for each in values:
            connection.execute(tables.tables[name].insert(), each)
        if connection.dialect.name == "postgresql" and "id" in tables.tables[name].columns:
            # Keys that were given by hand do not move the sequence on.
            sequence = f"pg_get_serial_sequence('{name}', 'id')"
            connection.execute(text(f"SELECT setval({sequence}, (SELECT max(id) FROM {name}))"))


@pytest.fixture
def upgraded(old_url: str) -> Iterator[Engine]:
    upgrade(old_url)
    engine = build_engine(old_url)
    yield engine
    engine.dispose()


def test_every_row_is_there_and_what_is_new_says_what_was_so(upgraded: Engine) -> None:
    with reading(upgraded) as session:
        projects = session.exec(select(Project).order_by(col(Project.id))).all()
        versions = session.exec(select(GuidelineVersion)).all()
        tasks = session.exec(select(Task).order_by(col(Task.id))).all()
        leases = session.exec(select(Assignment).order_by(col(Assignment.id))).all()
        judgments = session.exec(select(Judgment).order_by(col(Judgment.id))).all()
        assert session.exec(select(Demonstration.nonce)).one() is None
        assert session.exec(select(Prompt.written_by_id)).one() is None
    assert [labeling_settings(project) for project in projects] == [LabelingSettings()] * 2
    assert [(each.project_id, each.version, each.text) for each in versions] == [
        (1, 1, "# Be kind")
    ]
    assert [task.judged for task in tasks] == [2, 1, 0]
    assert [task.kind for task in tasks] == [TaskKind.ORDINARY, TaskKind.ORDINARY, TaskKind.GOLD]
    assert {(task.selection, task.pool, task.for_annotator_id) for task in tasks} == {
        ("random", "", None)
    }
    assert [each.state for each in leases] == ["submitted"] * 3 + ["skipped"]
    assert all(each.counted and each.draft is None for each in leases)
    assert [(each.ranks, each.supersedes_id) for each in judgments] == [
        ([1, 2], None), ([1, 2], None), ([1, 2], None), ([2, 1], 3)
    ]  # fmt: skip
    assert {(each.rationale, tuple(each.flags), each.strength) for each in judgments} == {
        ("因为", ("other",), None)
    }
    assert all(each.checks == {} and each.marks == [] for each in judgments)


def test_labeling_goes_on_where_it_was(upgraded: Engine) -> None:
    with writing(upgraded) as session:
        assert count_judgments(session, project_id=1) == 3
        task = next_assignment(session, project_id=1, annotator_id=2, minutes=5)
        assert task is not None
        assert task.task_id == 2
        done = submit_judgment(
            session,
            assignment_id=task.assignment_id,
            annotator_id=2,
            ranks=[1, 2],
            milliseconds=9000,
            nonce="new",
        )
        assert done.stored
    with reading(upgraded) as session:
        judged = session.get_one(Task, 2)
        assert (judged.judged, judged.status) == (2, TaskStatus.DONE)
        version = select(Judgment.guideline_version).where(Judgment.nonce == "new")
        assert session.exec(version).one() == 1


def test_going_back_keeps_what_the_older_release_knows(old_url: str) -> None:
    upgrade(old_url)
    with migrating(old_url) as connection:
        command.downgrade(alembic_config(connection), "0001")
        tables = MetaData()
        tables.reflect(connection)
        found = connection.execute(tables.tables["project"].select().order_by("id")).mappings()
        assert [row["guidelines"] for row in found] == ["# Be kind", ""]
        assert len(connection.execute(tables.tables["judgment"].select()).all()) == 4
