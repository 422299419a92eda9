from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import sleep

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event
from sqlmodel import col, select

from labeling.judging.judgments import flag_assignment, skip_assignment, submit_judgment
from labeling.work_queue import queues, scan_start
from labeling.work_queue.assignment import (
    AssignedTask,
    display_order,
    next_assignment,
    prolong,
    release_assignments,
)
from labeling.work_queue.room import has_room
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import NotAllowed, NotFound
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Event,
    Policy,
    PoolMember,
    Project,
    Task,
    TaskStatus,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


@pytest.fixture
def sqlite_stage(sqlite_engine: Engine, sqlite_project: Project) -> Stage:
    return set_stage(sqlite_engine, sqlite_project)


def expire(stage: Stage, assignment_id: int) -> None:
    with writing(stage.engine) as session:
        row = session.get_one(Assignment, assignment_id)
        row.expires_at = now() - timedelta(seconds=1)


def test_the_order_shown_is_the_stored_one(stage: Stage) -> None:
    stage.add_task("t", k=5)
    task = stage.lend("ann")
    assert task.messages == [{"role": "user", "content": "t"}]
    assert task.completions == [f"t.{position}" for position in task.display_order]
    assert sorted(task.display_order) == [0, 1, 2, 3, 4]
    with reading(stage.engine) as session:
        row = session.get_one(Assignment, task.assignment_id)
        assert row.display_order == task.display_order == display_order(row.order_seed, 5)
        assert "task.leased" in session.exec(select(Event.kind)).all()


def test_orders_differ_between_annotators() -> None:
    assert len({tuple(display_order(seed, 4)) for seed in range(300)}) == 24


def test_ones_own_lease_comes_back_prolonged(stage: Stage) -> None:
    stage.add_task("a")
    stage.add_task("b")
    first = stage.lend("ann", minutes=1)
    again = stage.lend("ann", minutes=10)
    assert again.assignment_id == first.assignment_id
    assert again.completions == first.completions
    assert again.expires_at > first.expires_at


def test_a_task_lent_to_one_is_not_lent_to_another(stage: Stage) -> None:
    stage.add_task("a")
    stage.lend("ann")
    assert stage.next("bob") is None


def test_overlap_lends_to_as_many_and_no_more(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project, overlap=2)
    stage.add_task("a")
    assert stage.lend("ann").task_id == stage.lend("bob").task_id
    assert stage.next("cleo") is None


def test_a_judged_task_never_comes_back(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project, overlap=2)
    stage.add_task("a")
    stage.judge("ann", [1, 2, 3, 4])
    assert stage.next("ann") is None
    stage.judge("bob", [1, 2, 3, 4])
    with reading(engine) as session:
        assert session.exec(select(Task.status)).one() == TaskStatus.DONE


def test_an_expired_lease_goes_back_by_itself(stage: Stage) -> None:
    task_id = stage.add_task("a")
    lent = stage.lend("ann")
    assert stage.next("bob") is None
    expire(stage, lent.assignment_id)
    assert stage.lend("bob").task_id == task_id


def test_ones_own_expired_row_is_lent_again_in_the_same_order(stage: Stage) -> None:
    stage.add_task("a")
    lent = stage.lend("ann")
    expire(stage, lent.assignment_id)
    again = stage.lend("ann")
    assert again.assignment_id == lent.assignment_id
    assert again.display_order == lent.display_order
    assert again.expires_at > now()


def test_a_released_task_goes_to_another_and_to_oneself(stage: Stage) -> None:
    task_id = stage.add_task("a")
    lent = stage.lend("ann")
    with writing(stage.engine) as session:
        assert release_assignments(session, annotator_id=stage.account("ann")) == 1
    assert stage.lend("ann").assignment_id == lent.assignment_id
    with writing(stage.engine) as session:
        release_assignments(session, annotator_id=stage.account("ann"))
    assert stage.lend("bob").task_id == task_id


def test_what_another_tab_is_submitting_is_not_released(stage: Stage) -> None:
    stage.add_task("a")
    task = stage.lend("ann")
    ann = stage.account("ann")

    def sign_out() -> None:
        with writing(stage.engine) as session:
            assert release_assignments(session, annotator_id=ann) == 0

    with ThreadPoolExecutor(1) as tabs:
        with writing(stage.engine) as session:
            submit_judgment(
                session,
                assignment_id=task.assignment_id,
                annotator_id=ann,
                ranks=[1, 2, 3, 4],
                milliseconds=1,
                nonce="n",
            )
            other = tabs.submit(sign_out)
            sleep(0.3)
        other.result(timeout=30)
    with reading(stage.engine) as session:
        row = session.get_one(Assignment, task.assignment_id)
    assert row.state == AssignmentState.SUBMITTED


def test_a_skip_takes_no_room_and_does_not_come_back(stage: Stage) -> None:
    task_id = stage.add_task("a")
    lent = stage.lend("ann")
    stage.account("bob")
    with writing(stage.engine) as session:
        skip_assignment(
            session,
            assignment_id=lent.assignment_id,
            annotator_id=stage.account("ann"),
            reason="I do not know the subject",
        )
    assert stage.next("ann") is None
    assert stage.lend("bob").task_id == task_id


def test_priority_first_then_the_newest_policy_then_the_oldest_task(stage: Stage) -> None:
    old = [stage.add_task("old 1"), stage.add_task("old 2")]
    with writing(stage.engine) as session:
        stage.policy = Policy(project_id=stage.project_id, version=2)
        session.add(stage.policy)
    new = [stage.add_task("new 1"), stage.add_task("new 2")]
    urgent = stage.add_task("urgent", priority=5)
    lent = [stage.lend(f"ann-{number}").task_id for number in range(5)]
    assert lent == [urgent, *new, *old]


def test_withdrawn_tasks_and_other_projects_are_not_lent(stage: Stage) -> None:
    task_id = stage.add_task("a")
    with writing(stage.engine) as session:
        session.get_one(Task, task_id).status = TaskStatus.WITHDRAWN
        other = Project(name="other")
        session.add(other)
        session.flush()
        ann = stage.account
        assert other.id is not None
    assert stage.next("ann") is None
    stage.add_task("b")
    with writing(stage.engine) as session:
        found = next_assignment(session, project_id=other.id, annotator_id=ann("ann"), minutes=5)
    assert found is None


def test_a_pick_that_has_filled_up_meanwhile_is_not_lent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL may lock a row that another filled after the statement had counted."""
    full, free = stage.add_task("full"), stage.add_task("free")
    assert stage.lend("ann").task_id == full
    real = queues._take_statement
    stale = [select(Task).where(Task.id == full).with_for_update()]
    monkeypatch.setattr(
        queues, "_take_statement", lambda *given: stale.pop() if stale else real(*given)
    )
    assert stage.lend("bob").task_id == free
    assert stale == []


def test_an_unknown_or_inactive_account_gets_nothing(sqlite_stage: Stage) -> None:
    stage = sqlite_stage
    stage.add_task("a")
    annotator_id = stage.account("ann")
    with writing(stage.engine) as session:
        session.get_one(Account, annotator_id).active = False
    with pytest.raises(NotAllowed, match="switched off"):
        stage.next("ann")
    with writing(stage.engine) as session, pytest.raises(NotFound, match="no account 999"):
        next_assignment(session, project_id=stage.project_id, annotator_id=999, minutes=5)


def test_the_number_of_statements_does_not_grow_with_the_tasks(
    sqlite_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = sqlite_stage
    # On a busy machine any look may be slow, and is then looked into.
    monkeypatch.setattr(scan_start, "SLOW", 60.0)
    for number in range(12):
        stage.add_task(f"t{number}")
    stage.account("ann")
    stage.account("bob")
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    counts = []
    for name in ("ann", "bob"):
        statements: list[str] = []

        def note(*given: object, statements: list[str] = statements) -> None:
            statements.append(str(given[2]))

        event.listen(stage.engine, "before_cursor_execute", note)
        stage.lend(name)
        event.remove(stage.engine, "before_cursor_execute", note)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 20


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["next", "submit", "twice", "late", "skip", "flag", "expire", "prolong", "release"]
        ),
        st.integers(0, 3),
    ),
    max_size=40,
)
strategies = st.sampled_from(["priority", "breadth", "depth"])


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(overlap=st.integers(1, 3), strategy=strategies, steps=steps)
def test_whatever_happens_no_task_is_lent_above_its_overlap(
    sqlite_engine: Engine, overlap: int, strategy: str, steps: list[tuple[str, int]]
) -> None:
    with writing(sqlite_engine) as session:
        count = len(session.exec(select(Project)).all())
        project = Project(name=f"project {count}")
        session.add(project)
    stage = set_stage(sqlite_engine, project, overlap)
    stage.accounts = {}
    stage.change("assignment", strategy=strategy)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    for number in range(3):
        stage.add_task(f"t{number}", k=2)
    names = [f"p{count}-{number}" for number in range(4)]
    for number, (step, who) in enumerate(steps):
        take_step(stage, step, names[who], number)
        check_invariants(stage, overlap)


def take_step(stage: Stage, step: str, name: str, number: int) -> None:
    """Do one thing that an annotator, their network or their browser may do."""
    if step == "release":
        release(stage, name)
        return
    task = stage.next(name)
    if task is None or step == "next":
        return
    nonce = f"{stage.project_id}-{number}"
    if step in ("submit", "twice"):
        first = stage.submit(name, task, [1, 2], nonce)
        assert first.stored
        assert step == "submit" or stage.submit(name, task, [2, 1], nonce) == first
    elif step == "late":
        expire(stage, task.assignment_id)
        other = f"{name}-other"
        taken = stage.next(other)
        full = taken is not None and taken.task_id == task.task_id and not room(stage, task.task_id)
        assert stage.submit(name, task, [1, 2], nonce).stored == (not full)
        release(stage, other)
    elif step == "prolong":
        expire(stage, task.assignment_id)
        assert extend(stage, name, task) is not None
    elif step == "expire":
        expire(stage, task.assignment_id)
    else:
        put_aside(stage, step, name, task)


def put_aside(stage: Stage, step: str, name: str, task: AssignedTask) -> None:
    own = {"assignment_id": task.assignment_id, "annotator_id": stage.account(name)}
    with writing(stage.engine) as session:
        if step == "skip":
            skip_assignment(session, reason="x", **own)
        else:
            flag_assignment(session, flags=["unsafe"], **own)


def extend(stage: Stage, name: str, task: AssignedTask) -> datetime | None:
    with writing(stage.engine) as session:
        return prolong(
            session,
            assignment_id=task.assignment_id,
            annotator_id=stage.account(name),
            minutes=5,
        )


def release(stage: Stage, name: str) -> None:
    with writing(stage.engine) as session:
        release_assignments(session, annotator_id=stage.account(name))


def room(stage: Stage, task_id: int) -> bool:
    with reading(stage.engine) as session:
        return has_room(session, task=session.get_one(Task, task_id))


def check_invariants(stage: Stage, overlap: int) -> None:
    with reading(stage.engine) as session:
        rows = session.exec(
            select(Assignment)
            .join(Task, col(Task.id) == col(Assignment.task_id))
            .where(Task.project_id == stage.project_id)
        ).all()
        done = {
            task.id
            for task in session.exec(select(Task).where(Task.project_id == stage.project_id))
            if task.status == TaskStatus.DONE
        }
    assert len({(row.task_id, row.annotator_id) for row in rows}) == len(rows)
    for task_id in {row.task_id for row in rows}:
        of_task = [row for row in rows if row.task_id == task_id]
        submitted = sum(row.state == "submitted" for row in of_task)
        leased = sum(row.state == "leased" and row.expires_at > now() for row in of_task)
        assert submitted + leased <= overlap
        assert (submitted == overlap) == (task_id in done)


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [("priority", [0, 0, 1, 1]), ("breadth", [0, 1, 0, 1]), ("depth", [0, 0, 1, 1])],
)
def test_breadth_asks_one_of_each_first_and_depth_finishes_first(
    engine: Engine, project: Project, strategy: str, wanted: list[int]
) -> None:
    stage = set_stage(engine, project, overlap=2)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    stage.change("assignment", strategy=strategy)
    tasks = [stage.add_task("a", k=2), stage.add_task("b", k=2)]
    lent = [stage.lend(f"ann-{number}").task_id for number in range(4)]
    assert lent == [tasks[number] for number in wanted]


def test_depth_prefers_the_task_with_more_judgments(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project, overlap=2)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    first, second = stage.add_task("a", k=2), stage.add_task("b", k=2)
    with writing(engine) as session:
        session.get_one(Task, second).priority = 1
    stage.judge("ann", [1, 2])
    with writing(engine) as session:
        session.get_one(Task, second).priority = 0
    stage.change("assignment", strategy="depth")
    assert stage.lend("bob").task_id == second
    stage.change("assignment", strategy="breadth")
    assert stage.lend("cleo").task_id == first


def test_a_pools_task_is_for_its_members_alone(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    pooled, common = stage.add_task("a", k=2), stage.add_task("b", k=2)
    ann = stage.account("ann")
    with writing(engine) as session:
        session.get_one(Task, pooled).pool = "medicine"
        session.add(PoolMember(project_id=stage.project_id, account_id=ann, pool="medicine"))
    assert stage.lend("bob").task_id == common
    assert stage.next("cleo") is None
    assert stage.lend("ann").task_id == pooled


def test_the_cap_ends_an_annotators_work_in_the_project(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    stage.change("assignment", most_judgments=2)
    for number in range(4):
        stage.add_task(f"t{number}", k=2)
    for _ in range(2):
        stage.judge("ann", [1, 2])
    assert stage.next("ann") is None
    assert stage.next("bob") is not None


def test_a_lease_that_was_lost_to_others_is_not_prolonged(stage: Stage) -> None:
    stage.add_task("a", k=2)
    lent = stage.lend("ann")
    assert extend(stage, "ann", lent) is not None
    expire(stage, lent.assignment_id)
    stage.lend("bob")
    assert extend(stage, "ann", lent) is None
