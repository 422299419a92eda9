import csv
import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from sqlalchemy import Engine, insert, text
from sqlmodel import Session, select

from labeling.accounts import create_account
from labeling.audit.files import lines_of, note_export
from labeling.audit.log import AT_ONCE, NOBODY, SHELL, AuditChoice, audit_log, audit_rows
from labeling.events import from_address, record
from labeling.labeling_settings import change_labeling
from labeling.people.failed_sign_ins import record_failure
from labeling.people.roles import change_project_role
from labeling.people.sign_ins import Browser, open_sign_in
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed
from storage.tables import Account, Event, Project, Role
from tests.sample_rows import add_account

ALL = AuditChoice()


@pytest.fixture
def filled(engine: Engine, project: Project) -> Iterator[Engine]:
    ada, bob = add_account(engine, "ada"), add_account(engine, "bob")
    with writing(engine) as session:
        record(session, project_id=project.id, account_id=ada.id, kind="judgment.stored", x=1)
        open_sign_in(session, account_id=ada.id or 0, hours=1, browser=Browser("192.0.2.1", "F"))
        record_failure(session, name="nobody", browser=Browser("192.0.2.9", ""))
        with from_address("192.0.2.5"):
            here = session.get_one(Project, project.id)
            change_labeling(
                session, project=here, by=None, section="page", values={"own_prompts": True}
            )
        change_project_role(session, account=bob, project=here, role=Role.LEAD, by=None)
    yield engine


def told(session: Session, choice: AuditChoice = ALL) -> list[tuple[str, ...]]:
    rows = audit_rows(session, account=None, choice=choice)
    return [(row.who, row.kind, row.whom, row.address, row.told) for row in rows]


def test_the_log_says_who_did_what_to_whom_and_from_where(filled: Engine) -> None:
    with reading(filled) as session:
        found = told(session)
    assert found[:4] == [
        (SHELL, "account.role_changed", "bob", "", "as elsewhere → lead"),
        (SHELL, "labeling.changed", "", "192.0.2.5", "page.own_prompts: no → yes"),
        (NOBODY, "sign_in.failed", "", "192.0.2.9", ""),
        ("ada", "sign_in.opened", "", "192.0.2.1", "way: password"),
    ]
    assert not any("judgment" in row[1] for row in found)


def test_filters_narrow_it(filled: Engine) -> None:
    with reading(filled) as session:
        ada = session.exec(select(Account).where(Account.name == "ada")).one()
        assert {row[1] for row in told(session, AuditChoice(account_id=ada.id))} == {
            "sign_in.opened"
        }
        only = AuditChoice(kinds=("sign_in.failed", "sign_in.opened"))
        assert [row[1] for row in told(session, only)] == ["sign_in.failed", "sign_in.opened"]
        assert told(session, AuditChoice(since=now() + timedelta(hours=1))) == []
        assert told(session, AuditChoice(until=now() - timedelta(hours=1))) == []
        with pytest.raises(BadInput, match=r"has no judgment\.stored"):
            told(session, AuditChoice(kinds=("judgment.stored",)))


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.LEAD, Role.ENGINEER])
def test_only_admins_read_it(sqlite_engine: Engine, role: Role) -> None:
    one, admin = Account(name="a", role=role), Account(name="b", role=Role.ADMIN)
    with reading(sqlite_engine) as session:
        with pytest.raises(NotAllowed, match="may not see the audit log"):
            audit_rows(session, account=one)
        assert audit_rows(session, account=admin) == []


def test_pages_go_through_all_of_it_once(sqlite_engine: Engine) -> None:
    many = 2 * AT_ONCE + 3
    with writing(sqlite_engine) as session:
        session.execute(
            insert(Event),
            [{"kind": "sign_in.closed", "audited": True, "detail": {}, "created_at": now()}] * many,
        )
    with reading(sqlite_engine) as session:
        ids = [row.id for row in audit_log(session, account=None)]
    assert ids == sorted(ids, reverse=True) and len(set(ids)) == many


def test_the_newest_page_reads_its_index_and_nothing_else(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        plan = connection.execute(
            text("EXPLAIN QUERY PLAN SELECT * FROM event WHERE event.audited ORDER BY id DESC")
        ).all()
    assert "ix_event_audit" in str(plan) and "TEMP B-TREE" not in str(plan)


def test_files_hold_the_same_rows_and_no_formula(filled: Engine) -> None:
    with writing(filled) as session:
        eve = create_account(session, name="=cmd|' /C calc'!A0", role=Role.ADMIN, password="x" * 12)
        record(session, project_id=None, account_id=eve.id, kind="snapshot.created", name="n")
    with reading(filled) as session:
        rows = list(audit_log(session, account=None))
    cells = list(csv.reader(StringIO("".join(lines_of(rows, "csv")))))
    lines = [json.loads(line) for line in lines_of(rows, "jsonl")]
    assert cells[0] == list(lines[0])
    assert len(cells) - 1 == len(lines) == len(rows)
    assert "None" not in [cell for row in cells for cell in row], "what is empty has no word"
    who = cells[0].index("who")
    assert lines[0]["who"] == "=cmd|' /C calc'!A0" and cells[1][who] == "'=cmd|' /C calc'!A0"


def test_taking_the_log_away_is_in_the_log(filled: Engine) -> None:
    with writing(filled) as session:
        choice = AuditChoice(kinds=("sign_in.failed",))
        note_export(session, account=None, choice=choice, file_type="csv")
    with reading(filled) as session:
        assert told(session)[0][1:] == (
            "audit.exported", "", "", "file type: csv; kinds: sign_in.failed",
        )  # fmt: skip
