"""Past what is closed to an annotator: the same tasks in the same order, only sooner."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event
from sqlmodel import Session, select

from labeling.work_queue import scan_start
from labeling.work_queue.claim import claim
from labeling.work_queue.queues import QUEUED_KINDS
from labeling.work_queue.scan_start import Key, known_place
from storage.engine import reading, writing
from storage.tables import Assignment, AssignmentState, Project, Task, TaskStatus
from tests.labeling.stage import Stage, set_stage

STRATEGIES = ("priority", "breadth", "depth")


@pytest.fixture
def stage(engine: Engine, project: Project, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Every look counts as slow, and three tasks are many."""
    monkeypatch.setattr(scan_start, "SLOW", -1.0)
    monkeypatch.setattr(scan_start, "LEAST_PASSED", 3)
    stage = set_stage(engine, project, overlap=3)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    return stage


def key(stage: Stage, strategy: str = "priority") -> Key:
    return Key(stage.project_id, stage.account("ann"), "", strategy)


def place(stage: Stage, strategy: str = "priority") -> int | None:
    with reading(stage.engine) as session:
        found = known_place(session, key(stage, strategy))
    return found.task_id if found else None


def judge_four(stage: Stage) -> None:
    for _ in range(4):
        stage.judge("ann", [1, 2])
    # The first looks had too little to pass by, which is remembered as long as a place is.
    with reading(stage.engine) as session:
        for strategy in STRATEGIES:
            scan_start.forget(session, key(stage, strategy))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_look_begins_after_what_is_closed(stage: Stage, strategy: str) -> None:
    stage.change("assignment", strategy=strategy)
    tasks = [stage.add_task(f"t{number}", k=2) for number in range(6)]
    judge_four(stage)
    open_tasks = [task for task in tasks if task not in judged_by(stage, "ann")]
    stage.lend("ann")
    assert stage.lend("bob").task_id in tasks
    if strategy == "priority":
        assert place(stage) == open_tasks[0]
    stage.judge("ann", [1, 2])
    stage.judge("ann", [1, 2])
    assert judged_by(stage, "ann") == tasks
    assert stage.next("ann") is None


def test_few_tasks_before_it_are_not_worth_it(stage: Stage) -> None:
    for number in range(4):
        stage.add_task(f"t{number}", k=2)
    stage.judge("ann", [1, 2])
    stage.judge("ann", [1, 2])
    stage.lend("ann")
    assert place(stage) is None


def test_a_new_task_that_comes_first_is_found(stage: Stage) -> None:
    for number in range(6):
        stage.add_task(f"t{number}", k=2)
    judge_four(stage)
    stage.judge("ann", [1, 2])
    assert place(stage) is not None
    urgent = stage.add_task("urgent", k=2)
    with writing(stage.engine) as session:
        session.get_one(Task, urgent).priority = 5
    assert stage.lend("ann").task_id == urgent


def test_what_is_ready_again_is_found_before_anybody_is_told_that_all_is_done(
    stage: Stage,
) -> None:
    tasks = [stage.add_task(f"t{number}", k=2) for number in range(6)]
    with writing(stage.engine) as session:
        session.get_one(Task, tasks[0]).status = TaskStatus.WITHDRAWN
    judge_four(stage)
    last = stage.lend("ann")
    assert place(stage) == last.task_id == tasks[5]
    with writing(stage.engine) as session:
        session.get_one(Task, tasks[0]).status = TaskStatus.READY
    stage.submit("ann", last, [1, 2], "last")
    assert stage.lend("ann").task_id == tasks[0]


def test_a_place_is_forgotten_in_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_start, "SECONDS_KEPT", 0.0)
    for number in range(6):
        stage.add_task(f"t{number}", k=2)
    judge_four(stage)
    stage.lend("ann")
    assert place(stage) is None


def test_no_statement_looks_at_what_lies_before(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        stage.add_task(f"t{number}", k=2)
    judge_four(stage)
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2], "n")
    monkeypatch.setattr(scan_start, "SLOW", 60.0)
    seen: list[str] = []

    def note(*given: object) -> None:
        seen.append(str(given[2]))

    event.listen(stage.engine, "before_cursor_execute", note)
    stage.lend("ann")
    event.remove(stage.engine, "before_cursor_execute", note)
    queued = [one for one in seen if "task.kind IN ('ordinary', 'arena')" in one]
    # Higher priority, newer policy, the place itself, and what comes after it.
    (look,) = queued
    assert look.count("UNION ALL") == 4
    assert "task.id >=" in look


def judged_by(stage: Stage, name: str) -> list[int]:
    with reading(stage.engine) as session:
        return sorted(
            session.exec(
                select(Assignment.task_id).where(
                    Assignment.annotator_id == stage.account(name),
                    Assignment.state == AssignmentState.SUBMITTED,
                )
            )
        )


TASKS = st.lists(
    st.tuples(
        st.integers(0, 2),  # priority
        st.integers(0, 2),  # judged
        st.booleans(),  # closed to the annotator
        st.booleans(),  # ready
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_task_is_found_with_a_place_as_without(
    sqlite_engine: Engine,
    sqlite_project: Project,
    monkeypatch: pytest.MonkeyPatch,
    strategy: str,
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project, overlap=3)
    stage.change("assignment", strategy=strategy)
    ids = [stage.add_task(f"t{number}", k=2) for number in range(12)]
    annotator_id = stage.account("ann")

    @settings(max_examples=40, deadline=None)
    @given(TASKS)
    def same(tasks: list[tuple[int, int, bool, bool]]) -> None:
        with (
            sqlite_engine.connect().execution_options(rankloop_write=True) as connection,
            Session(connection) as session,
        ):
            rows = [session.get_one(Task, task_id) for task_id in ids]
            for row in rows:
                row.status = TaskStatus.DONE
            for row, (priority, judged, closed, ready) in zip(rows, tasks, strict=False):
                row.priority, row.judged = priority, judged
                row.status = TaskStatus.READY if ready else TaskStatus.DONE
                if closed:
                    session.add(_submitted(row, annotator_id))
            session.flush()
            scan_start.forget(session, key(stage, strategy))
            found = []
            # Nothing kept; kept after the first look; looked for from there.
            for slow in (60.0, -1.0, 60.0):
                monkeypatch.setattr(scan_start, "SLOW", slow)
                monkeypatch.setattr(scan_start, "LEAST_PASSED", 1)
                task = claim(
                    session, project_id=stage.project_id, annotator_id=annotator_id,
                    kinds=QUEUED_KINDS,
                )  # fmt: skip
                found.append(task.id if task else None)
            assert found[0] == found[1] == found[2]
            session.rollback()

    same()


def _submitted(task: Task, annotator_id: int) -> Assignment:
    return Assignment(
        task_id=task.id or 0, annotator_id=annotator_id, state=AssignmentState.SUBMITTED,
        expires_at=task.created_at, order_seed=1, display_order=[0, 1],
    )  # fmt: skip
