from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.quality_control.known_answers import make_gold
from labeling.review.adjudication import decide
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.withdrawing import revert, withdraw, withdrawals
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import (
    Assignment,
    Event,
    Import,
    Project,
    Review,
    ReviewDecision,
    Role,
    Task,
    TaskKind,
    TaskStatus,
    Withdrawal,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=2)
    stage.add_task("one")
    return stage


def take_out(stage: Stage, scope: Scope, *, requeue: bool | None = None) -> int:
    with writing(stage.engine) as session:
        done = withdraw(
            session,
            project=session.get_one(Project, stage.project_id),
            by=None,
            scope=scope,
            reason="guessed",
            requeue=requeue,
        )
    return done.id or 0


def put_back(stage: Stage, withdrawal_id: int) -> None:
    with writing(stage.engine) as session:
        revert(
            session,
            project=stage.project,
            by=None,
            withdrawal_id=withdrawal_id,
            reason="it was another",
        )


def task_of(stage: Stage, task_id: int) -> tuple[TaskStatus, int]:
    with reading(stage.engine) as session:
        task = session.get_one(Task, task_id)
        return task.status, task.judged


def test_a_task_goes_to_others_and_comes_back(stage: Stage) -> None:
    task_id = stage.lend("ann").task_id
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [1, 2, 3, 4])
    assert task_of(stage, task_id) == (TaskStatus.DONE, 2)
    first = take_out(stage, Scope(annotator_id=stage.account("ann")))
    assert task_of(stage, task_id) == (TaskStatus.READY, 1)
    assert stage.next("ann") is None, "nobody is asked twice"
    assert stage.next("bob") is None
    assert stage.judge("cyd", [4, 3, 2, 1]).stored
    assert task_of(stage, task_id) == (TaskStatus.DONE, 2)
    put_back(stage, first)
    assert task_of(stage, task_id) == (TaskStatus.DONE, 3)
    assert stage.next("dan") is None


def test_who_judges_a_task_that_is_full_again_is_told_what_holds(stage: Stage) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [1, 2, 3, 4])
    first = take_out(stage, Scope(annotator_id=stage.account("ann")))
    lent = stage.lend("cyd")
    put_back(stage, first)
    refused = stage.submit("cyd", lent, [4, 3, 2, 1], "cyd")
    assert not refused.stored
    # It was lent to cyd all the while, and nobody withdrew it.
    assert refused.message.startswith("As many others as this task wants have judged it")
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 2)


def test_a_correction_after_a_withdrawn_span_takes_room_again(stage: Stage) -> None:
    lent = stage.lend("ann")
    stage.submit("ann", lent, [1, 2, 3, 4], "first")
    stage.judge("bob", [1, 2, 3, 4])
    span = take_out(stage, Scope(until=now()))
    assert task_of(stage, lent.task_id) == (TaskStatus.READY, 0)
    assert stage.submit("ann", lent, [2, 1, 3, 4], "better").stored
    assert task_of(stage, lent.task_id) == (TaskStatus.READY, 1), "it counts: one more is wanted"
    stage.judge("cyd", [1, 2, 3, 4])
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 2)
    assert stage.next("dan") is None
    put_back(stage, span)
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 3), "ann's, bob's and cyd's, once each"


def test_a_correction_that_is_withdrawn_too_takes_no_room(stage: Stage) -> None:
    lent = stage.lend("ann")
    stage.submit("ann", lent, [1, 2, 3, 4], "first")
    stage.judge("bob", [1, 2, 3, 4])
    take_out(stage, Scope(until=now()))
    take_out(stage, Scope(annotator_id=stage.account("ann")))
    assert stage.submit("ann", lent, [2, 1, 3, 4], "better").stored
    assert task_of(stage, lent.task_id) == (TaskStatus.READY, 0)


def test_a_correction_pushes_nobody_out_who_has_the_task(stage: Stage) -> None:
    lent = stage.lend("ann")
    stage.submit("ann", lent, [1, 2, 3, 4], "first")
    stage.judge("bob", [1, 2, 3, 4])
    take_out(stage, Scope(until=now()))
    theirs = {name: stage.lend(name) for name in ("cyd", "dan")}
    assert stage.submit("ann", lent, [2, 1, 3, 4], "better").stored
    for name, one in theirs.items():
        assert stage.submit(name, one, [1, 2, 3, 4], name).stored
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 2)


def import_a_file(stage: Stage) -> int:
    with writing(stage.engine) as session:
        found = Import(
            project_id=stage.project_id, file_name="f.jsonl", file_sha256="0", format="trl"
        )
        session.add(found)
    return found.id or 0


def test_a_withdrawn_import_keeps_nobody_elses_room(stage: Stage) -> None:
    # The queue's own tasks have no import, and what is NULL in SQL is neither equal nor not.
    task_id = stage.lend("ann").task_id
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [1, 2, 3, 4])
    take_out(stage, Scope(import_id=import_a_file(stage)))
    first = take_out(stage, Scope(annotator_id=stage.account("ann")))
    assert task_of(stage, task_id) == (TaskStatus.READY, 1)
    put_back(stage, first)
    assert task_of(stage, task_id) == (TaskStatus.DONE, 2)
    assert stage.next("cyd") is None


def test_what_is_judged_while_withdrawn_takes_no_room_until_it_is_put_back(stage: Stage) -> None:
    withdrawal_id = take_out(stage, Scope(annotator_id=stage.account("ann")))
    lent = stage.lend("ann")
    assert stage.submit("ann", lent, [1, 2, 3, 4], "late").stored
    assert task_of(stage, lent.task_id) == (TaskStatus.READY, 0)
    stage.judge("bob", [1, 2, 3, 4])
    assert stage.judge("cyd", [1, 2, 3, 4]).stored
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 2)
    put_back(stage, withdrawal_id)
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 3)


def test_a_correction_that_is_withdrawn_opens_its_task_to_others(stage: Stage) -> None:
    lent = stage.lend("ann")
    stage.submit("ann", lent, [1, 2, 3, 4], "first")
    stage.judge("bob", [1, 2, 3, 4])
    withdrawal_id = take_out(stage, Scope(annotator_id=stage.account("ann"), since=now()))
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 2), "what came before stands"
    assert stage.submit("ann", lent, [2, 1, 3, 4], "later").stored
    assert task_of(stage, lent.task_id) == (TaskStatus.READY, 1)
    assert stage.submit("ann", lent, [1, 2, 4, 3], "later still").stored
    assert task_of(stage, lent.task_id) == (TaskStatus.READY, 1)
    put_back(stage, withdrawal_id)
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 2)


def test_a_withdrawn_correction_leaves_a_decided_task_as_it_is(stage: Stage) -> None:
    lent = stage.lend("ann")
    stage.submit("ann", lent, [1, 2, 3, 4], "first")
    stage.account("lena", Role.LEAD)
    with writing(stage.engine) as session:
        by = session.merge(stage.accounts["lena"])
        decide(session, task_id=lent.task_id, ranks=[4, 3, 2, 1], by=by, nonce="d", reason="")
    take_out(stage, Scope(annotator_id=stage.account("ann"), since=now()))
    assert stage.submit("ann", lent, [2, 1, 3, 4], "later").stored
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 1)


@pytest.mark.parametrize("requeue", [True, False])
def test_a_test_is_ended_by_whoever_is_withdrawn_and_so_is_work_that_is_left_as_it_is(
    stage: Stage, requeue: bool
) -> None:
    lent = stage.lend("ann")
    with writing(stage.engine) as session:
        task = session.get_one(Task, lent.task_id)
        task.overlap, task.kind = 1, TaskKind.REPEAT if requeue else TaskKind.ORDINARY
    take_out(stage, Scope(annotator_id=stage.account("ann")), requeue=requeue)
    assert stage.submit("ann", lent, [1, 2, 3, 4], "late").stored
    assert task_of(stage, lent.task_id) == (TaskStatus.DONE, 1)


def test_the_project_may_leave_tasks_as_they_are(stage: Stage) -> None:
    stage.change("withdrawals", requeue=False)
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [1, 2, 3, 4])
    withdrawal_id = take_out(stage, Scope(annotator_id=stage.account("ann")))
    assert stage.next("cyd") is None
    with reading(stage.engine) as session:
        assert all(session.exec(select(Assignment.counted)))
    put_back(stage, withdrawal_id)
    assert stage.next("cyd") is None


def test_of_two_withdrawals_that_cover_a_judgment_both_must_end(stage: Stage) -> None:
    task_id = stage.lend("ann").task_id
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [1, 2, 3, 4])
    whole = take_out(stage, Scope(annotator_id=stage.account("ann")))
    span = take_out(stage, Scope(since=now() - timedelta(hours=1)))
    assert task_of(stage, task_id) == (TaskStatus.READY, 0)
    put_back(stage, span)
    assert task_of(stage, task_id) == (TaskStatus.READY, 1), "ann is still withdrawn"
    put_back(stage, whole)
    assert task_of(stage, task_id) == (TaskStatus.DONE, 2)


def test_a_task_that_a_lead_decided_keeps_its_label(stage: Stage) -> None:
    lead = stage.account("lead", Role.LEAD)
    task_id = stage.lend("ann").task_id
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [1, 2, 3, 4])
    with writing(stage.engine) as session:
        session.add(
            Review(
                project_id=stage.project_id,
                task_id=task_id,
                decision=ReviewDecision.DECIDED,
                ranks=[1, 2, 3, 4],
                by_id=lead,
                nonce="n",
            )
        )
    take_out(stage, Scope(annotator_id=stage.account("ann")))
    assert task_of(stage, task_id) == (TaskStatus.DONE, 2)


def test_an_imports_tasks_leave_the_queue_and_come_back(stage: Stage) -> None:
    mine, withdrawn_before = stage.add_task("two"), stage.add_task("three")
    with writing(stage.engine) as session:
        found = Import(
            project_id=stage.project_id, file_name="f.jsonl", file_sha256="0", format="trl"
        )
        session.add(found)
        session.flush()
        for task_id in (mine, withdrawn_before):
            session.get_one(Task, task_id).import_id = found.id
        session.get_one(Task, withdrawn_before).status = TaskStatus.WITHDRAWN
    withdrawal_id = take_out(stage, Scope(import_id=found.id))
    assert task_of(stage, mine)[0] == TaskStatus.WITHDRAWN
    put_back(stage, withdrawal_id)
    assert task_of(stage, mine)[0] == TaskStatus.READY
    assert task_of(stage, withdrawn_before)[0] == TaskStatus.WITHDRAWN, "that was another deed"


def make_known(stage: Stage, task_id: int) -> None:
    stage.account("lena", Role.LEAD)
    with writing(stage.engine) as session:
        make_gold(session, task_id=task_id, ranks=[1, 2, 3, 4], by=stage.accounts["lena"])


def test_a_task_whose_answer_is_known_by_a_copy_waits_for_nobody(stage: Stage) -> None:
    task_id = stage.lend("ann").task_id
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [1, 2, 3, 4])
    make_known(stage, task_id)
    withdrawal_id = take_out(stage, Scope(annotator_id=stage.account("ann")))
    assert task_of(stage, task_id) == (TaskStatus.DONE, 2)
    put_back(stage, withdrawal_id)
    assert task_of(stage, task_id) == (TaskStatus.DONE, 2)


def test_an_imports_task_that_became_known_meanwhile_stays_out_of_the_queue(stage: Stage) -> None:
    known, other = stage.add_task("two"), stage.add_task("three")
    with writing(stage.engine) as session:
        found = Import(
            project_id=stage.project_id, file_name="f.jsonl", file_sha256="0", format="trl"
        )
        session.add(found)
        session.flush()
        for task_id in (known, other):
            session.get_one(Task, task_id).import_id = found.id
    withdrawal_id = take_out(stage, Scope(import_id=found.id))
    make_known(stage, known)
    put_back(stage, withdrawal_id)
    assert task_of(stage, known)[0] == TaskStatus.WITHDRAWN
    assert task_of(stage, other)[0] == TaskStatus.READY


def test_what_is_withdrawn_is_listed_and_recorded(stage: Stage) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    since = datetime(2026, 1, 1, tzinfo=UTC)
    withdrawal_id = take_out(stage, Scope(annotator_id=stage.account("ann"), since=since))
    put_back(stage, withdrawal_id)
    with reading(stage.engine) as session:
        (row,) = withdrawals(session, project_id=stage.project_id, account=None)
        told = session.exec(
            select(Event.kind, Event.detail)
            .where(col(Event.kind).in_(["judgments.withdrawn", "withdrawal.reverted"]))
            .order_by(col(Event.id))
        ).all()
    assert row.what == "ann, from 2026-01-01 00:00"
    assert (row.reason, row.reverted_reason) == ("guessed", "it was another")
    assert [kind for kind, _ in told] == ["judgments.withdrawn", "withdrawal.reverted"]
    assert told[0][1]["tasks_requeued"] == 1


@pytest.mark.parametrize(
    ("scope", "error", "said"),
    [
        (Scope(), BadInput, "an annotator, an import, or a span"),
        (Scope(annotator_id=999), NotFound, "no account 999"),
        (Scope(import_id=999), NotFound, "no import 999"),
        (Scope(since=datetime(2026, 1, 1)), BadInput, "no time zone"),
        (
            Scope(since=datetime(2026, 1, 2, tzinfo=UTC), until=datetime(2026, 1, 1, tzinfo=UTC)),
            BadInput,
            "its end must come after",
        ),
    ],
)
def test_a_scope_that_means_nothing_is_refused(
    stage: Stage, scope: Scope, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        take_out(stage, scope)
    with reading(stage.engine) as session:
        assert session.exec(select(Withdrawal)).all() == []


def test_the_same_is_not_withdrawn_twice_nor_reverted_twice(stage: Stage) -> None:
    scope = Scope(annotator_id=stage.account("ann"))
    first = take_out(stage, scope)
    with pytest.raises(Conflict, match="takes out the same already"):
        take_out(stage, scope)
    put_back(stage, first)
    with pytest.raises(Conflict, match="reverted already"):
        put_back(stage, first)
    take_out(stage, scope)


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.ENGINEER])
def test_leads_withdraw_and_others_may_not(stage: Stage, role: Role) -> None:
    ann, someone = stage.account("ann"), stage.account("someone", role)
    stage.account("lead", Role.LEAD)
    assert someone
    with writing(stage.engine) as session, pytest.raises(NotAllowed):
        withdraw(
            session,
            project=stage.project,
            by=stage.accounts["someone"],
            scope=Scope(annotator_id=ann),
            reason="r",
        )
    with reading(stage.engine) as session, pytest.raises(NotAllowed):
        withdrawals(session, project_id=stage.project_id, account=stage.accounts["someone"])
    with writing(stage.engine) as session:
        done = withdraw(
            session,
            project=session.get_one(Project, stage.project_id),
            by=session.merge(stage.accounts["lead"]),
            scope=Scope(annotator_id=ann),
            reason="r",
        )
        assert done.by_id == stage.accounts["lead"].id
