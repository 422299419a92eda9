import json
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.privacy.export import export_person
from labeling.privacy.kept import KEPT
from labeling.quality_control.known_answers import make_gold
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.withdrawing import revert, withdraw
from storage.engine import reading, writing
from storage.errors import NotAllowed, Unavailable
from storage.tables import Account, Event, Project, Role, Row
from tests.labeling.privacy.one_person import NAME, TRACES, fill
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


def exported(stage: Stage, account_id: int, by: Account | None = None) -> dict[str, str]:
    file = BytesIO()
    export_person(stage.engine, account_id=account_id, by=by, out=file)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_everything_about_a_person_is_in_it_and_no_secret(stage: Stage) -> None:
    me = fill(stage)
    with reading(stage.engine) as session:
        ada = session.get_one(Account, me)
        secrets = [str(ada.password_hash)]
        for table in ("sign_in", "access_token"):
            column = Row.metadata.tables[table].c.token_sha256
            secrets += session.execute(select(column)).scalars().all()
    files = exported(stage, me)
    whole = "\n".join(files.values())
    assert [trace for trace in TRACES if trace not in whole] == []
    assert len(secrets) == 3 and not any(secret in whole for secret in secrets)
    wanted = "judgments assignments prompts demonstrations events events_about sign_ins pools"
    assert {f"{name}.jsonl" for name in wanted.split()} <= set(files)
    assert len(files["judgments.jsonl"].splitlines()) == 2
    for name, text in files.items():
        if name.endswith(".jsonl"):
            rows = len(list(map(json.loads, text.splitlines())))
            said = "1 row" if rows == 1 else f"{rows} rows"
            assert f"{name} ({said})" in files["README.txt"]


def test_what_a_lead_wrote_is_in_it(stage: Stage) -> None:
    stage.account("lena", Role.LEAD)
    task_id = stage.add_task("one")
    stage.judge("ann", [1, 2, 3, 4])
    with writing(stage.engine) as session:
        lena = session.merge(stage.accounts["lena"])
        project = session.get_one(Project, stage.project_id)
        make_gold(session, task_id=task_id, ranks=[1, 2, 3, 4], by=lena, explanation="It is so.")
        scope = Scope(annotator_id=stage.account("ann"))
        done = withdraw(session, project=project, by=None, scope=scope, reason="not by her")
        revert(session, project=project, by=lena, withdrawal_id=done.id or 0, reason="by her")
    files = exported(stage, stage.account("lena"))
    (known,) = map(json.loads, files["known_answers.jsonl"].splitlines())
    assert known["explanation"] == "It is so."
    (made,) = map(json.loads, files["withdrawals_made.jsonl"].splitlines())
    assert made["reverted_reason"] == "by her" and "by_id" not in made
    files = exported(stage, stage.account("ann"))
    (of_ann,) = map(json.loads, files["withdrawals.jsonl"].splitlines())
    assert "reverted_by_id" not in of_ann and "withdrawals_made.jsonl" not in files


def test_nothing_of_others_is_in_it(stage: Stage) -> None:
    me = fill(stage)
    stage.account("bob")
    whole = "\n".join(exported(stage, me).values())
    # The admin who made the account, and where they were.
    assert '192.0.2.1"' not in whole and "bob" not in whole and "root" not in whole


def test_whom_an_admin_dealt_with_is_in_it_by_number_alone(stage: Stage) -> None:
    me = fill(stage)
    files = exported(stage, stage.account("root"))
    whole = "\n".join(files.values())
    assert NAME not in whole and "ada's laptop" not in whole
    (made,) = [
        each
        for each in map(json.loads, files["events.jsonl"].splitlines())
        if each["kind"] == "account.created"
    ]
    assert made["detail"]["created_id"] == me
    # Where root did it from is root's own.
    assert made["personal"] == {"address": "192.0.2.1"}


def test_it_is_for_the_person_and_for_admins(stage: Stage, tmp_path: Path) -> None:
    me = fill(stage)
    lead, admin = stage.account("lena", Role.LEAD), stage.account("root")
    with reading(stage.engine) as session:
        people = {key: session.get_one(Account, key) for key in (me, lead, admin)}
    assert NAME in exported(stage, me, people[me])["account.jsonl"]
    assert NAME in exported(stage, me, people[admin])["account.jsonl"]
    with pytest.raises(NotAllowed):
        exported(stage, me, people[lead])
    with pytest.raises(Unavailable, match="cannot be written"):
        export_person(stage.engine, account_id=me, by=None, out=tmp_path / "no" / "a.zip")
    with writing(stage.engine) as session:
        told = session.exec(select(Event).where(Event.kind == "account.exported")).all()
    assert [(one.account_id, one.detail) for one in told] == [
        (me, {"whose_id": me}), (admin, {"whose_id": me})
    ]  # fmt: skip


#: tables that no row of tells of a person, or where another file has what does
_IMPERSONAL = {
    "project", "policy", "completion", "task", "task_completion", "snapshot", "worker_lease",
    "round", "round_point", "webhook", "webhook_delivery",
}  # fmt: skip


def test_each_table_that_refers_to_an_account_is_looked_through() -> None:
    """A new table with an account in it has to be put into `KEPT`, or here with a reason."""
    read = {str(kept.rows(1).get_final_froms()[0]) for kept in KEPT}
    referring = {
        table.name
        for table in Row.metadata.sorted_tables
        if any(key.column.table.name == "account" for key in table.foreign_keys)
    }
    assert referring - read - _IMPERSONAL == set()
