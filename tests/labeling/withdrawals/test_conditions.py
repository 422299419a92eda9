from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text
from sqlmodel import Session, col

from labeling.datasets.eligibility import counted
from labeling.withdrawals import demonstration_not_withdrawn, not_withdrawn
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import (
    Demonstration,
    Import,
    Judgment,
    Project,
    Prompt,
    Role,
    Task,
    Withdrawal,
)
from tests.labeling.stage import Stage, set_stage
from tests.sample_rows import add_judgments

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIMES = [NOON + timedelta(hours=hour) for hour in range(3)]
BOUNDS = st.none() | st.sampled_from([*TIMES, NOON + timedelta(minutes=30)])


@dataclass
class Judged:
    """Nine judgments for each of two annotators: without an import and of two; at three times."""

    stage: Stage
    annotators: list[int]
    imports: list[int]
    rows: list[tuple[int, int, int | None, datetime]]


@pytest.fixture
def judged(engine: Engine, project: Project) -> Judged:
    stage = set_stage(engine, project)
    annotators = [stage.account(name) for name in ("ann", "bob")]
    with writing(engine) as session:
        found = [
            Import(project_id=stage.project_id, file_name="f", file_sha256="0", format="trl")
            for _ in range(2)
        ]
        session.add_all(found)
    imports = [one.id or 0 for one in found]
    rows = []
    for name, import_id, at in product(("ann", "bob"), (None, *imports), TIMES):
        (one,) = add_judgments(engine, project, stage.policy, stage.accounts[name], count=1, at=at)
        with writing(engine) as session:
            session.get_one(Task, one.task_id).import_id = import_id
        rows.append((one.id or 0, one.annotator_id, import_id, at))
    return Judged(stage, annotators, imports, rows)


def ids_of(session: Session) -> list[int]:
    statement = select(col(Judgment.id)).where(not_withdrawn()).order_by(col(Judgment.id))
    return list(session.scalars(statement))


def is_covered(
    row: tuple[int, int, int | None, datetime],
    annotator: int | None,
    imported: int | None,
    since: datetime | None,
    until: datetime | None,
) -> bool:
    return (
        annotator in (None, row[1])
        and imported in (None, row[2])
        and (since is None or since <= row[3])
        and (until is None or row[3] < until)
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=st.lists(
        st.tuples(
            st.none() | st.integers(0, 1),
            st.none() | st.integers(0, 1),
            BOUNDS,
            BOUNDS,
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_what_fits_all_parts_of_a_standing_withdrawal_is_left_out(
    judged: Judged,
    wanted: list[tuple[int | None, int | None, datetime | None, datetime | None, bool]],
) -> None:
    scopes = [
        (
            None if annotator is None else judged.annotators[annotator],
            None if imported is None else judged.imports[imported],
            since,
            until,
            reverted,
        )
        for annotator, imported, since, until, reverted in wanted
    ]
    # What is never committed is gone before the next example.
    with Session(judged.stage.engine) as session:
        for *parts, reverted in scopes:
            session.add(
                Withdrawal(
                    project_id=judged.stage.project_id,
                    annotator_id=parts[0],
                    import_id=parts[1],
                    since=parts[2],
                    until=parts[3],
                    reason="r",
                    reverted_at=now() if reverted else None,
                )
            )
        session.flush()
        left = ids_of(session)
        session.rollback()
    standing = [parts for *parts, reverted in scopes if not reverted]
    assert left == [
        row[0] for row in judged.rows if not any(is_covered(row, *parts) for parts in standing)
    ]


def test_a_withdrawal_holds_in_its_own_project_only(judged: Judged) -> None:
    with writing(judged.stage.engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        session.add(Withdrawal(project_id=other.id, annotator_id=judged.annotators[0], reason="r"))
    with reading(judged.stage.engine) as session:
        assert len(ids_of(session)) == len(judged.rows)


def test_figures_count_none_of_it(judged: Judged) -> None:
    with writing(judged.stage.engine) as session:
        session.add(
            Withdrawal(
                project_id=judged.stage.project_id, annotator_id=judged.annotators[0], reason="r"
            )
        )
    with reading(judged.stage.engine) as session:
        statement = (
            select(col(Judgment.annotator_id))
            .join(Task, col(Task.id) == col(Judgment.task_id))
            .where(*counted())
        )
        assert set(session.scalars(statement)) == {judged.annotators[1]}


@pytest.mark.parametrize("by", ["annotator", "import", "time"])
def test_demonstrations_go_with_judgments(judged: Judged, by: str) -> None:
    stage = judged.stage
    lead = stage.account("lead", Role.LEAD)
    prompt = stage.add_prompt("hello")
    with writing(stage.engine) as session:
        for annotator, import_id, at in (
            (judged.annotators[0], judged.imports[0], TIMES[0]),
            (lead, None, TIMES[2]),
        ):
            session.add(
                Demonstration(
                    prompt_id=prompt,
                    annotator_id=annotator,
                    import_id=import_id,
                    text=uuid4().hex,
                    created_at=at,
                )
            )
        parts = {
            "annotator": {"annotator_id": judged.annotators[0]},
            "import": {"import_id": judged.imports[0]},
            "time": {"until": TIMES[1]},
        }
        session.add(Withdrawal(project_id=stage.project_id, reason="r", **parts[by]))
    with reading(stage.engine) as session:
        left = session.scalars(
            select(col(Demonstration.annotator_id))
            .join(Prompt, col(Prompt.id) == col(Demonstration.prompt_id))
            .where(demonstration_not_withdrawn())
        ).all()
    assert left == [lead]


def test_an_index_finds_what_covers_a_judgment(sqlite_engine: Engine) -> None:
    statement = select(col(Judgment.id)).where(not_withdrawn())
    sql = statement.compile(sqlite_engine, compile_kwargs={"literal_binds": True})
    with sqlite_engine.connect() as connection:
        plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}"))]
    by_row = [plan[place + 1] for place, line in enumerate(plan) if line.startswith("CORRELATED")]
    assert len([line for line in by_row if "ix_withdrawal_covers" in line]) == 3
    assert not [line for line in by_row if line.startswith("SCAN")]
