from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import col, func, select

from labeling.judging.judgments import (
    count_judgments,
    current_judgments,
    reopen_last,
    skip_assignment,
    submit_judgment,
)
from labeling.judging.rankings import ranks_from_places
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import Assignment, AssignmentState, Event, Judgment, Project, Task, TaskStatus
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


@pytest.fixture
def sqlite_stage(sqlite_engine: Engine, sqlite_project: Project) -> Stage:
    return set_stage(sqlite_engine, sqlite_project)


def stored(stage: Stage) -> list[Judgment]:
    with reading(stage.engine) as session:
        return list(session.exec(select(Judgment).order_by(col(Judgment.id))))


def test_what_was_chosen_is_what_is_stored(stage: Stage) -> None:
    stage.add_task("t")
    task = stage.lend("ann")
    best, worst = task.completions[2], task.completions[0]
    ranks = ranks_from_places(task.display_order, [3, 2, 1, 2])
    submission = stage.submit("ann", task, ranks, "n1")
    assert submission.stored
    (judgment,) = stored(stage)
    assert judgment.id == submission.judgment_id
    position = {f"t.{position}": position for position in range(4)}
    assert judgment.ranks[position[best]] == 1
    assert judgment.ranks[position[worst]] == 3
    assert (judgment.milliseconds, judgment.rationale) == (1200, "clear")
    assert judgment.display_order == task.display_order
    with reading(stage.engine) as session:
        assert session.get_one(Task, task.task_id).status == TaskStatus.DONE
        events = session.exec(select(Event).where(Event.kind == "judgment.stored")).all()
        assert [event.detail["judgment_id"] for event in events] == [judgment.id]


def test_the_same_nonce_stores_once(stage: Stage) -> None:
    stage.add_task("t")
    task = stage.lend("ann")
    first = stage.submit("ann", task, [1, 2, 3, 4], "n1")
    again = stage.submit("ann", task, [4, 3, 2, 1], "n1")
    assert again == first
    assert [judgment.ranks for judgment in stored(stage)] == [[1, 2, 3, 4]]


def test_a_nonce_of_another_task_is_refused(sqlite_stage: Stage) -> None:
    stage = sqlite_stage
    stage.add_task("a")
    stage.add_task("b")
    stage.submit("ann", stage.lend("ann"), [1, 2, 3, 4], "n1")
    with pytest.raises(BadInput, match="nonce"):
        stage.submit("ann", stage.lend("ann"), [1, 2, 3, 4], "n1")
    assert len(stored(stage)) == 1


MISFITS: list[dict[str, Any]] = [
    {"ranks": [1, 2, 3]},
    {"ranks": [1, 2, 3, 9]},
    {"ranks": ["1", 2, 3, 4]},
    {"ranks": None},
    {"milliseconds": -1},
    {"milliseconds": "5"},
    {"nonce": ""},
    {"nonce": "x" * 65},
    {"rationale": "x" * 10_001},
    {"rationale": None},
    {"flags": "bad"},
    {"flags": ["x" * 101]},
    {"flags": [1]},
]


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_misfit_stores_nothing(sqlite_stage: Stage, misfit: dict[str, Any]) -> None:
    stage = sqlite_stage
    stage.add_task("t")
    task = stage.lend("ann")
    with reading(stage.engine) as session:
        events = session.exec(select(func.count()).select_from(Event)).one()
    good = {"ranks": [1, 2, 3, 4], "milliseconds": 5, "nonce": "n"}
    with pytest.raises(BadInput), writing(stage.engine) as session:
        submit_judgment(
            session,
            assignment_id=task.assignment_id,
            annotator_id=stage.account("ann"),
            **{**good, **misfit},
        )
    assert stored(stage) == []
    with reading(stage.engine) as session:
        assert session.exec(select(func.count()).select_from(Event)).one() == events
        row = session.get_one(Assignment, task.assignment_id)
        assert row.state == AssignmentState.LEASED


def test_another_ones_task_cannot_be_judged(sqlite_stage: Stage) -> None:
    stage = sqlite_stage
    stage.add_task("t")
    task = stage.lend("ann")
    with pytest.raises(NotAllowed, match="somebody else"):
        stage.submit("bob", task, [1, 2, 3, 4], "n1")
    assert stored(stage) == []


def test_an_unknown_assignment_is_not_found(sqlite_stage: Stage) -> None:
    stage = sqlite_stage
    with writing(stage.engine) as session, pytest.raises(NotFound, match="no assignment 77"):
        submit_judgment(
            session,
            assignment_id=77,
            annotator_id=stage.account("ann"),
            ranks=[1, 2],
            milliseconds=1,
            nonce="n",
        )


def expire(stage: Stage, assignment_id: int) -> None:
    with writing(stage.engine) as session:
        session.get_one(Assignment, assignment_id).expires_at = now() - timedelta(seconds=1)


def test_a_late_submit_is_kept_while_there_is_room(stage: Stage) -> None:
    stage.add_task("t")
    task = stage.lend("ann")
    expire(stage, task.assignment_id)
    assert stage.submit("ann", task, [1, 2, 3, 4], "n1").stored
    assert stage.next("bob") is None


@pytest.mark.parametrize("other_submits", [True, False])
def test_a_late_submit_without_room_is_kept_in_an_event_only(
    stage: Stage, other_submits: bool
) -> None:
    stage.add_task("t")
    late = stage.lend("ann")
    expire(stage, late.assignment_id)
    other = stage.lend("bob")
    if other_submits:
        stage.submit("bob", other, [1, 2, 3, 4], "bob")
    before = len(stored(stage))
    for _ in range(2):
        refused = stage.submit("ann", late, [4, 3, 2, 1], "ann")
        assert (refused.stored, refused.judgment_id) == (False, None)
        assert "kept in the record" in refused.message
    assert len(stored(stage)) == before
    with reading(stage.engine) as session:
        (event,) = session.exec(select(Event).where(Event.kind == "judgment.refused")).all()
    assert event.account_id == stage.account("ann")
    assert event.detail["ranks"] == [4, 3, 2, 1]
    assert event.personal == {"rationale": "clear"}
    assert event.detail["display_order"] == late.display_order


@pytest.mark.parametrize("live", [True, False])
def test_a_live_lease_of_a_withdrawn_task_is_honoured_an_expired_one_is_not(
    sqlite_stage: Stage, live: bool
) -> None:
    stage = sqlite_stage
    stage.add_task("t")
    task = stage.lend("ann")
    with writing(stage.engine) as session:
        session.get_one(Task, task.task_id).status = TaskStatus.WITHDRAWN
    if not live:
        expire(stage, task.assignment_id)
    assert stage.submit("ann", task, [1, 2, 3, 4], "n").stored is live
    assert len(stored(stage)) == int(live)
    with reading(stage.engine) as session:
        assert session.get_one(Task, task.task_id).status == TaskStatus.WITHDRAWN
    assert stage.next("bob") is None


def test_a_retry_is_stored_already_whatever_is_asked_for_by_now(sqlite_stage: Stage) -> None:
    stage = sqlite_stage
    stage.add_task("t")
    task = stage.lend("ann")
    criteria = [{"name": "truth", "kind": "likert", "question": "Is it true?"}]
    stage.change("page", criteria=criteria)
    answers = {"likert": {"truth": [1, 2, 3, 4]}, "ranks": [1, 2, 3, 4], "milliseconds": 5}
    own = {"assignment_id": task.assignment_id, "annotator_id": stage.account("ann")}
    sent: dict[str, Any] = own | answers
    with writing(stage.engine) as session:
        first = submit_judgment(session, nonce="n1", **sent)
    stage.change("page", criteria=[], rationale="required")
    with writing(stage.engine) as session:
        assert submit_judgment(session, nonce="n1", **sent) == first
    with pytest.raises(BadInput), writing(stage.engine) as session:
        submit_judgment(session, nonce="n2", **sent)
    assert len(stored(stage)) == 1


def test_a_quick_correction_of_what_was_read_is_not_too_fast(stage: Stage) -> None:
    for text in ("read", "clicked"):
        stage.add_task(" ".join([text] * 200))
    ann = stage.account("ann")
    marks = []
    for milliseconds in ((200_000, 3_000), (900, 900, 90_000)):
        lent = stage.lend("ann")
        for number, taken in enumerate(milliseconds):
            with writing(stage.engine) as session:
                done = submit_judgment(
                    session,
                    assignment_id=lent.assignment_id,
                    annotator_id=ann,
                    ranks=[1, 2, 3, 4] if number % 2 else [2, 1, 3, 4],
                    milliseconds=taken,
                    nonce=f"{lent.task_id}-{number}",
                )
            with reading(stage.engine) as session:
                stored = session.get_one(Judgment, done.judgment_id)
            marks.append((stored.milliseconds, stored.marks))
    assert marks == [
        *[(200_000, []), (3_000, [])],
        *[(900, ["fast"]), (900, ["fast"]), (90_000, [])],
    ]


def test_a_correction_supersedes_and_overwrites_nothing(stage: Stage) -> None:
    stage.add_task("t")
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2, 3, 4], "n1")
    with writing(stage.engine) as session:
        reopened = reopen_last(
            session, annotator_id=stage.account("ann"), project_id=stage.project_id
        )
    assert reopened.ranks == [1, 2, 3, 4]
    assert reopened.completions == task.completions
    for nonce, ranks in [("n2", [2, 1, 3, 4]), ("n3", [1, 1, 1, 1])]:
        assert stage.submit("ann", reopened, ranks, nonce).stored
    first, second, third = stored(stage)
    assert [first.ranks, second.ranks, third.ranks] == [[1, 2, 3, 4], [2, 1, 3, 4], [1, 1, 1, 1]]
    assert (second.supersedes_id, third.supersedes_id) == (first.id, second.id)
    with reading(stage.engine) as session:
        (current,) = current_judgments(session, project_id=stage.project_id)
        assert current.id == third.id
        assert count_judgments(session, project_id=stage.project_id) == 1
        ann = stage.accounts["ann"].id
        assert count_judgments(session, project_id=stage.project_id, annotator_id=ann) == 1
        assert count_judgments(session, project_id=stage.project_id, annotator_id=999) == 0


def test_there_is_nothing_to_reopen_before_the_first(sqlite_stage: Stage) -> None:
    stage = sqlite_stage
    with writing(stage.engine) as session, pytest.raises(NotFound, match="no judgment of yours"):
        reopen_last(session, annotator_id=stage.account("ann"), project_id=stage.project_id)


def test_skips_need_a_reason_and_are_recorded_once(sqlite_stage: Stage) -> None:
    stage = sqlite_stage
    stage.add_task("t")
    task = stage.lend("ann")

    def skip(reason: str) -> None:
        with writing(stage.engine) as session:
            skip_assignment(
                session,
                assignment_id=task.assignment_id,
                annotator_id=stage.account("ann"),
                reason=reason,
            )

    with pytest.raises(BadInput, match="needs a reason"):
        skip("  ")
    skip("offensive")
    skip("offensive")
    with reading(stage.engine) as session:
        events = session.exec(select(Event).where(Event.kind == "task.skipped")).all()
        row = session.get_one(Assignment, task.assignment_id)
    assert [event.personal for event in events] == [{"reason": "offensive"}]
    assert (row.state, row.skip_reason) == (AssignmentState.SKIPPED, "offensive")


def test_a_judged_task_cannot_be_skipped(sqlite_stage: Stage) -> None:
    stage = sqlite_stage
    stage.add_task("t")
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2, 3, 4], "n")
    with writing(stage.engine) as session, pytest.raises(Conflict, match="judged already"):
        skip_assignment(
            session,
            assignment_id=task.assignment_id,
            annotator_id=stage.account("ann"),
            reason="x",
        )


def test_text_that_no_database_stores_is_cleaned(stage: Stage) -> None:
    stage.add_task("t")
    task = stage.lend("ann")
    with writing(stage.engine) as session:
        submit_judgment(
            session,
            assignment_id=task.assignment_id,
            annotator_id=stage.account("ann"),
            ranks=[1, 2, 3, 4],
            milliseconds=10**12,
            nonce="n",
            rationale="nul \x00 and \ud800",
            flags=["unsafe"],
        )
    (judgment,) = stored(stage)
    assert judgment.rationale == "nul  and ?"
    assert judgment.flags == ["unsafe"]
    assert judgment.milliseconds == 2**31 - 1
