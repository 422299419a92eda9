from pathlib import Path

import pytest
from sqlalchemy import Engine

from labeling.datasets.snapshots import create_snapshot, read_snapshot
from labeling.events import record
from labeling.judging.demonstrations import add_demonstration
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.traces import Touched, touched
from labeling.withdrawals.withdrawing import revert, withdraw
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Policy, PolicyStatus, Project, Role, Round, RoundState, Snapshot
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=2)
    stage.add_task("one")
    return stage


def freeze(stage: Stage, home: Path) -> Snapshot:
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        return create_snapshot(
            session, project=project, folder=home / "snapshots", code_version="abc"
        )


def look(stage: Stage, home: Path, scope: Scope) -> Touched:
    with reading(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        return touched(session, project=project, account=None, scope=scope, home=home)


def train_on(stage: Stage, snapshot: Snapshot, number: int, parent: int | None) -> int:
    """Store a round of the snapshot and the policy that it made; return the policy's id."""
    with writing(stage.engine) as session:
        one = Round(
            project_id=stage.project_id,
            number=number,
            state=RoundState.DONE,
            snapshot_id=snapshot.id,
        )
        session.add(one)
        session.flush()
        policy = Policy(
            project_id=stage.project_id,
            version=number + 1,
            status=PolicyStatus.RETIRED,
            parent_id=parent,
            round_id=one.id,
        )
        session.add(policy)
    return policy.id or 0


def test_the_next_snapshot_leaves_it_out_and_a_reverted_one_has_it_again(
    stage: Stage, tmp_path: Path
) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [2, 1, 3, 4])
    before = freeze(stage, tmp_path)
    with writing(stage.engine) as session:
        done = withdraw(
            session,
            project=session.get_one(Project, stage.project_id),
            by=None,
            scope=Scope(annotator_id=stage.account("ann")),
            reason="guessed",
        )
    without = freeze(stage, tmp_path)
    assert list(read_snapshot(without.uri, tmp_path)["annotator_id"]) == [stage.account("bob")]
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        revert(session, project=project, by=None, withdrawal_id=done.id or 0, reason="r")
    again = freeze(stage, tmp_path)
    assert again.rows_sha256 == before.rows_sha256 != without.rows_sha256


def test_what_used_it_is_found_in_the_rows_rounds_policies_and_exports(
    stage: Stage, tmp_path: Path
) -> None:
    with writing(stage.engine) as session:
        record(session, project_id=stage.project_id, account_id=None, kind="preferences.exported",
               format="before")  # fmt: skip
    stage.judge("bob", [1, 2, 3, 4])
    clean = freeze(stage, tmp_path)
    stage.judge("ann", [2, 1, 3, 4])
    dirty = freeze(stage, tmp_path)
    train_on(stage, clean, 1, parent=stage.policy.id)
    made = train_on(stage, dirty, 2, parent=stage.policy.id)
    train_on(stage, clean, 3, parent=made)
    with writing(stage.engine) as session:
        for kind, detail in (
            ("export.written", {"snapshot_id": clean.id, "format": "clean"}),
            ("export.written", {"snapshot_id": dirty.id, "format": "dirty"}),
            ("preferences.exported", {"format": "whole"}),
        ):
            record(session, project_id=stage.project_id, account_id=None, kind=kind, **detail)
    found = look(stage, tmp_path, Scope(annotator_id=stage.account("ann")))
    assert (found.judgments, found.tasks, found.annotators) == (1, 1, ("ann",))
    assert [(one.id, one.judgments) for one in found.snapshots] == [(dirty.id, 1)]
    assert [one.number for one in found.rounds] == [2]
    assert [(one.version, one.directly) for one in found.policies] == [(3, True), (4, False)]
    assert [one.format for one in found.exports] == ["dirty", "whole"]


def test_what_is_withdrawn_already_is_no_judgment_to_lose(stage: Stage, tmp_path: Path) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    freeze(stage, tmp_path)
    scope = Scope(annotator_id=stage.account("ann"))
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        withdraw(session, project=project, by=None, scope=scope, reason="r")
    found = look(stage, tmp_path, scope)
    assert (found.judgments, found.tasks) == (0, 0)
    assert [one.judgments for one in found.snapshots] == [1]


def test_demonstrations_in_snapshots_are_found(stage: Stage, tmp_path: Path) -> None:
    ann = stage.account("ann")
    prompt = stage.add_prompt("hello")
    with writing(stage.engine) as session:
        add_demonstration(
            session,
            project=stage.project,
            account=session.merge(stage.accounts["ann"]),
            prompt_id=prompt,
            text="Hello!",
        )
    stage.judge("bob", [1, 2, 3, 4])
    snapshot = freeze(stage, tmp_path)
    found = look(stage, tmp_path, Scope(annotator_id=ann))
    assert (found.judgments, found.demonstrations) == (0, 1)
    assert [(one.id, one.demonstrations) for one in found.snapshots] == [(snapshot.id, 1)]


def test_what_was_corrected_since_is_still_in_the_snapshots_that_hold_it(
    stage: Stage, tmp_path: Path
) -> None:
    lent = stage.lend("ann")
    stage.submit("ann", lent, [1, 2, 3, 4], "first")
    trained = freeze(stage, tmp_path)
    train_on(stage, trained, 1, parent=stage.policy.id)
    stage.submit("ann", lent, [2, 1, 3, 4], "better")
    found = look(stage, tmp_path, Scope(annotator_id=stage.account("ann")))
    assert (found.judgments, found.tasks) == (1, 1)
    assert [(one.id, one.judgments) for one in found.snapshots] == [(trained.id, 1)]
    assert [one.version for one in found.policies] == [2]


def test_exports_may_hold_what_was_only_written(stage: Stage, tmp_path: Path) -> None:
    ann = stage.account("ann")
    prompt = stage.add_prompt("hello")
    with writing(stage.engine) as session:
        told = {"project_id": stage.project_id, "account_id": None, "kind": "preferences.exported"}
        record(session, **told, format="before")
        add_demonstration(
            session,
            project=stage.project,
            account=session.merge(stage.accounts["ann"]),
            prompt_id=prompt,
            text="Hello!",
        )
        record(session, **told, format="after")
    found = look(stage, tmp_path, Scope(annotator_id=ann))
    assert [one.format for one in found.exports] == ["after"]


def test_a_snapshot_whose_files_are_gone_is_named_all_the_same(
    stage: Stage, tmp_path: Path
) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    snapshot = freeze(stage, tmp_path)
    (tmp_path / snapshot.uri / "judgments.parquet").unlink()
    found = look(stage, tmp_path, Scope(annotator_id=stage.account("ann")))
    assert [(one.id, one.judgments) for one in found.snapshots] == [(snapshot.id, None)]


def test_engineers_may_not_look(stage: Stage, tmp_path: Path) -> None:
    ann = stage.account("ann")
    stage.account("eng", Role.ENGINEER)
    with reading(stage.engine) as session, pytest.raises(NotAllowed, match="withdraw judgments"):
        touched(
            session,
            project=stage.project,
            account=stage.accounts["eng"],
            scope=Scope(annotator_id=ann),
            home=tmp_path,
        )
