import random
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, select
from sqlmodel import Session, col

from labeling.datasets.eligibility import counted
from labeling.review.adjudication import discard, restore
from labeling.statistics.judgment_columns import KINDS, JudgmentColumns, judgment_columns
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.withdrawing import revert, withdraw
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Judgment,
    Project,
    Prompt,
    Role,
    Task,
    TaskKind,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project, overlap=3)


def columns(stage: Stage) -> JudgmentColumns:
    with reading(stage.engine) as session:
        return judgment_columns(session, project_id=stage.project_id)


def counted_ids(session: Session, project_id: int) -> list[int]:
    statement = (
        select(col(Judgment.id))
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .where(col(Judgment.project_id) == project_id, *counted())
        .order_by(col(Judgment.id))
    )
    return list(session.execute(statement).scalars())


def assert_complete(stage: Stage) -> JudgmentColumns:
    """Assert that the columns hold what the statement for figures gives, value by value."""
    found = columns(stage)
    with reading(stage.engine) as session:
        ids = counted_ids(session, stage.project_id)
        assert found.judgment_id.tolist() == ids
        for row, judgment_id in enumerate(ids):
            stored = session.get_one(Judgment, judgment_id)
            k = int(found.k[row])
            assert found.ranks[row, :k].tolist() == stored.ranks
            assert found.display_order[row, :k].tolist() == stored.display_order
            assert not found.ranks[row, k:].any()
            assert found.task_id[row] == stored.task_id
            assert found.annotator_id[row] == stored.annotator_id
            assert found.milliseconds[row] == stored.milliseconds
            assert found.created_at[row].item() == stored.created_at.replace(tzinfo=None)
            kind = session.get_one(Account, stored.annotator_id).kind
            assert KINDS[found.kind[row]] == kind
    return found


def test_nothing_judged(stage: Stage) -> None:
    found = assert_complete(stage)
    assert len(found) == 0
    assert found.ranks.shape == (0, 9)
    assert found.annotators.empty and found.tags.empty
    assert found.frame().empty


def test_nothing_new_gives_the_same_object_and_something_new_another(stage: Stage) -> None:
    stage.add_task("t")
    stage.judge("ann", [1, 1, 2, 3])
    first = assert_complete(stage)
    assert columns(stage) is first
    stage.judge("bob", [1, 2, 3, 4])
    second = assert_complete(stage)
    assert second.version != first.version
    assert len(first) == 1 and len(second) == 2
    assert second.annotators["name"].tolist() == ["ann", "bob"]


def test_a_correction_takes_the_place_of_what_it_corrects(stage: Stage) -> None:
    stage.add_task("t", k=2)
    task = stage.lend("ann")
    stage.submit("ann", task, [2, 1], "n1")
    assert_complete(stage)
    stage.submit("ann", task, [1, 2], "n2")
    assert assert_complete(stage).ranks[:, :2].tolist() == [[1, 2]]


def lead(stage: Stage) -> Account:
    with reading(stage.engine) as session:
        return session.get_one(Account, stage.account("lead", Role.LEAD))


def test_discarded_judgments_leave_and_come_back(stage: Stage) -> None:
    stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])
    judgment_id = int(columns(stage).judgment_id[0])
    by = lead(stage)
    with writing(stage.engine) as session:
        discard(session, judgment_id=judgment_id, by=by, nonce="d", reason="spam")
    assert len(assert_complete(stage)) == 0
    with writing(stage.engine) as session:
        restore(session, judgment_id=judgment_id, by=by, nonce="r")
    assert len(assert_complete(stage)) == 1


def test_withdrawn_judgments_leave_and_come_back_and_later_ones_stay_out(stage: Stage) -> None:
    for text in ("s", "t", "u"):
        stage.add_task(text, k=2)
    stage.judge("ann", [1, 2])
    stage.judge("bob", [1, 2])
    assert_complete(stage)
    scope = Scope(annotator_id=stage.account("ann"))
    with writing(stage.engine) as session:
        withdrawal = withdraw(
            session, project=session.get_one(Project, stage.project_id), by=None, scope=scope,
            reason="a bot", requeue=False,
        )  # fmt: skip
    assert len(assert_complete(stage)) == 1
    stage.judge("ann", [2, 1])
    stage.judge("bob", [2, 1])
    assert len(assert_complete(stage)) == 2
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        revert(session, project=project, by=None, withdrawal_id=withdrawal.id or 0, reason="no bot")
    assert len(assert_complete(stage)) == 4


def test_accounts_are_as_they_are_now(stage: Stage) -> None:
    stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])
    assert columns(stage).active.tolist() == [True]
    with writing(stage.engine) as session:
        ann = session.get_one(Account, stage.account("ann"))
        ann.active, ann.kind = False, AccountKind.MODEL
    found = assert_complete(stage)
    assert found.active.tolist() == [False]
    assert found.annotators["kind"].tolist() == ["model"]
    assert len(found.by_people()) == 0
    assert found.by_people().version != found.version


def test_whose_annotators_came_with_a_file_is_known(stage: Stage) -> None:
    """A person's judgment of imported completions is not imported."""
    stage.add_task("t", k=2)
    for name in ("ann", "bob"):
        stage.judge(name, [1, 2])
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("bob")).imported_from = "file"
    assert columns(stage).imported.tolist() == [False, True]


def test_tests_of_annotators_are_no_figures(stage: Stage) -> None:
    task_id = stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])
    with writing(stage.engine) as session:
        session.get_one(Task, task_id).kind = TaskKind.GOLD
    assert len(assert_complete(stage)) == 0


def test_what_is_rolled_back_was_never_there(stage: Stage) -> None:
    stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])
    bob, cleo = stage.account("bob"), stage.account("cleo")
    before = columns(stage)
    with pytest.raises(RuntimeError), writing(stage.engine) as session:
        add_judgment(session, stage, bob, {})
        assert len(judgment_columns(session, project_id=stage.project_id)) == 2
        raise RuntimeError
    assert columns(stage) is before
    with writing(stage.engine) as session:
        add_judgment(session, stage, cleo, {})
    assert assert_complete(stage).annotators["name"].tolist() == ["ann", "cleo"]


def add_judgment(session: Session, stage: Stage, annotator_id: int, values: dict) -> Judgment:
    """Store a judgment of the first task as another process would."""
    task_id = session.execute(select(col(Task.id)).limit(1)).scalar_one()
    assignment = Assignment(
        task_id=task_id, annotator_id=annotator_id, state=AssignmentState.SUBMITTED,
        expires_at=now(), order_seed=0, display_order=[0, 1],
    )  # fmt: skip
    session.add(assignment)
    session.flush()
    judgment = Judgment(
        project_id=stage.project_id, task_id=task_id, assignment_id=assignment.id or 0,
        annotator_id=annotator_id, ranks=[2, 1], display_order=[1, 0], nonce=f"n{annotator_id}",
        **values,
    )  # fmt: skip
    session.add(judgment)
    session.flush()
    return judgment


def test_a_judgment_that_commits_after_later_ones_is_found(stage: Stage) -> None:
    stage.add_task("t", k=2)
    ids = {name: stage.account(name) for name in ("ann", "bob", "cleo")}
    with writing(stage.engine) as session:
        add_judgment(session, stage, ids["ann"], {"id": 9000})
    assert_complete(stage)
    # Among the newest ids, and further back than those that are looked at again.
    for name, judgment_id in (("bob", 8990), ("cleo", 20)):
        with writing(stage.engine) as session:
            add_judgment(session, stage, ids[name], {"id": judgment_id})
        assert judgment_id in assert_complete(stage).judgment_id


def test_criteria_tags_and_languages(stage: Stage) -> None:
    stage.add_task("t", k=2)
    ann, bob = stage.account("ann"), stage.account("bob")
    with writing(stage.engine) as session:
        prompt = session.get_one(Prompt, 1)
        prompt.tags, prompt.language = ["code", "tests"], "de"
        likert, checks = {"true": [7, None]}, {"safe": [True, False]}
        add_judgment(session, stage, ann, {"likert": likert, "checks": checks, "strength": 2})
    first = assert_complete(stage)
    assert first.likert["true"][0, :3].tolist() == [7, 0, 0]
    assert first.checks["safe"][0, :3].tolist() == [1, 0, -1]
    assert first.languages[first.language[0]] == "de"
    assert first.tags["tag"].tolist() == ["code", "tests"]
    assert first.strength.tolist() == [2] and first.guideline_version.tolist() == [0]
    with writing(stage.engine) as session:
        other = {"kind": [1, 2]}
        add_judgment(session, stage, bob, {"likert": other, "marks": ["fast"], "confidence": 0.5})
    both = assert_complete(stage)
    # What only one of them was asked has no answer from the other.
    assert both.likert["true"][:, 0].tolist() == [7, 0]
    assert both.likert["kind"][:, 1].tolist() == [0, 2]
    assert both.checks["safe"][:, 0].tolist() == [1, -1]
    assert both.fast.tolist() == [False, True]
    assert np.isnan(both.confidence[0]) and both.confidence[1] == 0.5
    assert len(both.tags) == 2


@pytest.mark.parametrize("seed", range(2))
def test_after_any_deeds_the_columns_are_what_the_database_says(
    sqlite_engine: Engine, sqlite_project: Project, seed: int
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project, overlap=3)
    chance = random.Random(seed)
    names = ["ann", "bob", "cleo", "dan"]
    for number in range(8):
        stage.add_task(f"t{number}", k=chance.randint(2, 5))
    by, tasks, standing = lead(stage), {}, []
    accounts = {name: stage.account(name) for name in names}
    for step in range(18):
        deed = chance.choice(
            ["judge", "judge", "judge", "correct", "discard", "withdraw", "revert"]
        )
        if deed == "judge":
            name = chance.choice(names)
            task = stage.next(name)
            if task is None:
                continue
            tasks[name] = task
            stage.submit(name, task, ranks_for(chance, len(task.completions)), f"n{step}")
        elif deed == "correct" and tasks:
            name = chance.choice(sorted(tasks))
            ranks = ranks_for(chance, len(tasks[name].completions))
            stage.submit(name, tasks[name], ranks, f"n{step}")
        with writing(stage.engine) as session:
            project = session.get_one(Project, stage.project_id)
            ids = counted_ids(session, stage.project_id)
            if deed == "discard" and ids:
                discard(
                    session, judgment_id=chance.choice(ids), by=by, nonce=f"d{step}", reason="x"
                )
            elif deed == "withdraw":
                since = now() - timedelta(milliseconds=chance.randint(0, 300))
                scope = Scope(annotator_id=accounts[chance.choice(names)], since=since)
                one = withdraw(
                    session, project=project, by=None, scope=scope, reason="x", requeue=False
                )
                standing.append(one.id)
            elif deed == "revert" and standing:
                revert(session, project=project, by=None, withdrawal_id=standing.pop(), reason="x")
            session.flush()
            now_counted = counted_ids(session, stage.project_id)
        assert columns(stage).judgment_id.tolist() == now_counted
    assert_complete(stage)


def ranks_for(chance: random.Random, k: int) -> list[int]:
    return [1, *(chance.randint(1, k) for _ in range(k - 1))]
