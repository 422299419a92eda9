from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.alarm_events import RAISED
from labeling.audit.log import audit_rows
from labeling.datasets.snapshot_query import SnapshotQuery
from labeling.datasets.snapshots import take_snapshot
from labeling.events import record
from labeling.people.sign_ins import account_of_token, open_sign_in
from labeling.permissions import Action, allows
from labeling.privacy.erasure import Erased, erase_person
from labeling.privacy.out_of_reach import out_of_reach
from labeling.statistics.judgment_columns import judgment_columns
from storage.engine import reading, writing
from storage.errors import Conflict, NotAllowed
from storage.privacy_settings import ErasedJudgments
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Event,
    Judgment,
    Project,
    Role,
    Snapshot,
    Withdrawal,
)
from tests.labeling.privacy.one_person import NAME, REASON, SKIPPED, TRACES, fill, whole_database
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


def erase(
    stage: Stage, account_id: int, *, judgments: ErasedJudgments = "keep", texts: bool = True
) -> Erased:
    admin = stage.account("root", Role.ADMIN)
    with writing(stage.engine) as session:
        by = session.get_one(Account, admin)
        return erase_person(session, account_id=account_id, by=by, judgments=judgments, texts=texts)


def test_nothing_in_the_database_tells_who_it_was(stage: Stage) -> None:
    me = fill(stage)
    with writing(stage.engine) as session:
        token = open_sign_in(session, account_id=me, hours=1)
    before = whole_database(stage.engine)
    assert all(trace in before for trace in TRACES)
    events = before.count("\nevent ")
    done = erase(stage, me)
    after = whole_database(stage.engine)
    assert [trace for trace in TRACES if trace in after] == []
    assert after.count("\nevent ") > events
    assert (done.name, done.judgments, done.withdrawn) == (f"erased-{me}", 2, ())
    assert (done.released, done.sign_ins, done.tokens, done.texts) == (1, 2, 1, 4)
    with reading(stage.engine) as session:
        account = session.get_one(Account, me)
        assert account_of_token(session, token=token) is None
        assert account.active and account.password_hash is account.oidc_subject is None
        assert not any(allows(account, each, project_id=stage.project_id) for each in Action)


def test_what_they_did_counts_as_before_under_a_number(stage: Stage) -> None:
    me = fill(stage)
    with reading(stage.engine) as session:
        before = judgment_columns(session, project_id=stage.project_id)
    erase(stage, me)
    with reading(stage.engine) as session:
        after = judgment_columns(session, project_id=stage.project_id)
        held = session.exec(
            select(Assignment).where(
                Assignment.annotator_id == me, Assignment.state == AssignmentState.LEASED
            )
        ).all()
    assert len(before) == len(after) == 2
    assert (before.ranks == after.ranks).all()
    assert held == []


@pytest.mark.parametrize("name", ["CORP\\ada", 'Ada "O\'Hara"', "艾达"])
def test_alarms_forget_a_name_however_it_is_written(stage: Stage, name: str) -> None:
    me = stage.account(name)
    words = {name: [f"{name} is right on 40% of the pairs."], "": ["No worker runs."]}
    with writing(stage.engine) as session:
        for said in words.values():
            record(
                session, project_id=stage.project_id, account_id=None, kind=RAISED,
                personal={"words": said}, alarm="gold",
            )  # fmt: skip
    erase(stage, me)
    with reading(stage.engine) as session:
        left = session.exec(
            select(Event.personal).where(Event.kind == RAISED).order_by(col(Event.id))
        ).all()
    assert left == [None, {"words": words[""]}]


def test_snapshots_that_were_asked_for_by_a_name_are_renamed(stage: Stage, tmp_path: Path) -> None:
    me = stage.account(NAME)
    for text, name in (("one", NAME), ("two", "bob")):
        stage.add_task(text)
        stage.judge(name, [1, 2, 3, 4])

    def freeze(*names: str) -> Snapshot:
        query = SnapshotQuery(annotators=names)
        return take_snapshot(
            stage.engine, project=stage.project, folder=tmp_path / "snapshots", query=query,
            code_version="1",
        )  # fmt: skip

    named, other = freeze(NAME, "bob"), freeze("bob")
    with reading(stage.engine) as session:
        told = out_of_reach(session, account_id=me, by=None, home=tmp_path)
    assert (
        f"Snapshot {named.id} was asked for by their name, which stays in the folder's "
        "manifest.json."
    ) in told
    # With its texts gone the data would be other data.
    erase(stage, me, texts=False)
    with reading(stage.engine) as session:
        found = {one.id: one for one in session.exec(select(Snapshot))}
    assert NAME not in str(found)
    assert found[named.id].query == found[named.id].manifest["query"]
    assert found[other.id].manifest == other.manifest
    # The same query is still the same snapshot.
    assert freeze("bob", f"erased-{me}").id == named.id


def test_judgments_are_withdrawn_where_that_is_wanted(stage: Stage) -> None:
    me = fill(stage)
    done = erase(stage, me, judgments="withdraw")
    assert done.withdrawn == (stage.project.name,)
    with reading(stage.engine) as session:
        assert len(judgment_columns(session, project_id=stage.project_id)) == 0
        (one,) = session.exec(select(Withdrawal)).all()
        assert (one.annotator_id, one.by_id) == (me, stage.account("root"))
        assert len(session.exec(select(Judgment).where(Judgment.annotator_id == me)).all()) == 2


def test_texts_stay_where_that_is_wanted(stage: Stage) -> None:
    erase(stage, fill(stage), texts=False)
    after = whole_database(stage.engine)
    assert REASON in after and SKIPPED in after
    assert NAME not in after


def test_the_deed_is_in_the_audit_log_and_those_of_others_stay(stage: Stage) -> None:
    me = fill(stage)
    erase(stage, me)
    with reading(stage.engine) as session:
        newest = audit_rows(session, account=None)[0]
        made = session.exec(select(Event).where(Event.kind == "invitation.made")).all()
    assert (newest.kind, newest.who, newest.whom) == ("account.erased", "root", f"erased-{me}")
    assert newest.told == "judgments: keep; texts: yes"
    assert made


def test_it_happens_once_and_never_to_the_last_admin(stage: Stage) -> None:
    me = fill(stage)
    erase(stage, me)
    with pytest.raises(Conflict, match="erased already"):
        erase(stage, me)
    with pytest.raises(Conflict, match="last admin"):
        erase(stage, stage.account("root"))


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.LEAD, Role.ENGINEER])
def test_only_admins_erase(stage: Stage, role: Role) -> None:
    me, other = stage.account("bob"), stage.account("eve", role)
    with pytest.raises(NotAllowed), writing(stage.engine) as session:
        erase_person(
            session, account_id=me, by=session.get_one(Account, other), judgments="keep", texts=True
        )


def test_a_name_that_is_taken_is_not_taken_twice(stage: Stage) -> None:
    me = stage.account("bob")
    stage.account(f"erased-{me}")
    assert erase(stage, me).name == f"erased-{me}-"


def test_what_cannot_be_reached_is_said(stage: Stage, tmp_path: Path) -> None:
    me = fill(stage)
    with writing(stage.engine) as session:
        session.add(Event(kind="database.backed_up"))
    with reading(stage.engine) as session:
        left = out_of_reach(session, account_id=me, by=None, home=tmp_path)
    assert any(line.startswith("1 backup of the database") for line in left)
    assert any("Log files" in line for line in left)
