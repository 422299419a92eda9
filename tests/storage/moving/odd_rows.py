"""Rows that the two databases store differently, and the rows of a small project around them."""

from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlmodel import select

from storage.engine import writing
from storage.moving.row_hashes import TableHash, hash_table, tables
from storage.tables import Event, Judgment, PolicyStatus, Project, Round, RoundState, Task
from tests.sample_rows import add_account, add_judgments, add_policy

ODD = {
    "huge": 1e22,
    "whole": 3.0,
    "nothing": -0.0,
    "small": 1.5e-7,
    "third": 1 / 3,
    "text": '汉字 \u202e ‮ \'; DROP TABLE event; -- \\ "quoted"\n',
    "none": None,
    "deep": [{"b": True, "a": [1, 2.0, {"c": []}]}],
}


def fill(engine: Engine) -> None:
    """Store a project with judgments, a correction, a round, and every odd value."""
    with writing(engine) as session:
        project = Project(name="odd", completions_per_task=4, overlap=2)
        session.add(project)
    policy = add_policy(engine, project)
    ann = add_account(engine)
    first, second = add_judgments(engine, project, policy, ann, count=2)
    with writing(engine) as session:
        session.add(
            Round(
                project_id=project.id or 0,
                number=1,
                state=RoundState.PPO,
                seed=2**62 + 1,
                metrics=ODD,
            )
        )
        session.add(
            Event(
                project_id=project.id,
                account_id=ann.id,
                kind="odd.stored",
                detail=ODD,
                created_at=datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC),
            )
        )
        session.add(
            Judgment(
                **first.model_dump(exclude={"id", "nonce", "supersedes_id", "confidence"}),
                nonce="correction",
                supersedes_id=first.id,
                confidence=0.1 + 0.2,
            )
        )
        # A reference to a row that comes later: a copy in the order of ids meets it too early.
        task = session.exec(select(Task).where(Task.id == first.task_id)).one()
        task.repeats_id = second.task_id
        session.add(task)
    add_policy(engine, project, version=2, status=PolicyStatus.CANDIDATE)


def hashes(engine: Engine) -> dict[str, TableHash]:
    """Return the count and hash of every table."""
    with engine.connect() as connection:
        return {table.name: hash_table(connection, table) for table in tables()}
