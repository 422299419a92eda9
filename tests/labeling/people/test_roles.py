import threading

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.people.roles import change_project_role, change_role, switch_off, switch_on
from labeling.people.sign_ins import account_of_token, open_sign_in
from labeling.permissions import ELSEWHERE, role_in, role_of
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed
from storage.tables import Account, Event, Project, Role
from tests.sample_rows import add_account


def test_a_role_is_changed_and_told(engine: Engine) -> None:
    admin, ada = add_account(engine, "admin", role=Role.ADMIN), add_account(engine, "ada")
    with writing(engine) as session:
        change_role(session, account=ada, role=Role.LEAD, by=admin)
        change_role(session, account=ada, role=Role.LEAD, by=admin)
    with reading(engine) as session:
        assert session.get_one(Account, ada.id).role is Role.LEAD
        (event,) = session.exec(select(Event).where(Event.kind == "account.role_changed")).all()
    assert event.account_id == admin.id
    assert event.detail == {"whose_id": ada.id, "before": "annotator", "after": "lead"}


def test_a_project_may_have_a_role_of_its_own(engine: Engine, project: Project) -> None:
    ada = add_account(engine, "ada")
    elsewhere = (project.id or 0) + 1

    def roles() -> tuple[Role | None, Role | None, str]:
        with reading(engine) as session:
            stored = session.get_one(Account, ada.id)
            (sql,) = session.exec(select(role_in(project.id or 0)).where(Account.name == "ada"))
            assert sql == (role_of(stored, project.id) or "")
            return role_of(stored, project.id), role_of(stored, elsewhere), sql

    for role in (Role.LEAD, None):
        with writing(engine) as session:
            change_project_role(session, account=ada, project=project, role=role, by=None)
        assert roles()[:2] == (role, Role.ANNOTATOR)
    with writing(engine) as session:
        change_project_role(session, account=ada, project=project, role=None, by=None, follow=True)
        assert session.get_one(Account, ada.id).project_roles == {}
        session.get_one(Account, ada.id).project_roles = {ELSEWHERE: ""}
    assert roles()[:2] == (None, None)
    with writing(engine) as session:
        change_role(session, account=ada, role=Role.ANNOTATOR, by=None)
    assert roles()[:2] == (Role.ANNOTATOR, Role.ANNOTATOR)
    with reading(engine) as session:
        told = session.exec(select(Event).where(Event.kind == "account.role_changed")).all()
    assert [(each.detail["before"], each.detail["after"]) for each in told] == [
        (None, "lead"), ("lead", ""), ("", None), ("annotator", "annotator"),
    ]  # fmt: skip


def test_the_last_admin_stays(engine: Engine) -> None:
    admin = add_account(engine, "admin", role=Role.ADMIN)
    add_account(engine, "asleep", role=Role.ADMIN, active=False)
    for deed in (
        lambda session: change_role(session, account=admin, role=Role.LEAD, by=admin),
        lambda session: switch_off(session, account=admin, by=None),
    ):
        with writing(engine) as session, pytest.raises(Conflict, match="the last admin"):
            deed(session)
    add_account(engine, "second", role=Role.ADMIN)
    with writing(engine) as session:
        change_role(session, account=admin, role=Role.LEAD, by=admin)


def test_two_admins_who_take_it_from_each_other_leave_one(engine: Engine) -> None:
    admins = [add_account(engine, name, role=Role.ADMIN) for name in ("one", "two")]
    ready, refused = threading.Barrier(2), []

    def take(account: Account, by: Account) -> None:
        ready.wait()
        try:
            with writing(engine) as session:
                change_role(session, account=account, role=Role.LEAD, by=by)
        except Conflict as error:
            refused.append(error)

    threads = [
        threading.Thread(target=take, args=pair) for pair in (admins, list(reversed(admins)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    with reading(engine) as session:
        left = session.exec(select(Account).where(Account.role == Role.ADMIN)).all()
    assert (len(left), len(refused)) == (1, 1)


def test_who_is_switched_off_is_out_until_switched_on(engine: Engine) -> None:
    ada = add_account(engine, "ada")
    with writing(engine) as session:
        token = open_sign_in(session, account_id=ada.id or 0, hours=1)
        switch_off(session, account=ada, by=None)
    with writing(engine) as session:
        switch_on(session, account=session.get_one(Account, ada.id), by=None)
        assert account_of_token(session, token=token) is None
        assert session.get_one(Account, ada.id).active


def test_only_admins_change_accounts(sqlite_engine: Engine, sqlite_project: Project) -> None:
    lead, ada = add_account(sqlite_engine, "l", role=Role.LEAD), add_account(sqlite_engine, "ada")
    with writing(sqlite_engine) as session:
        for deed in (
            lambda: change_role(session, account=lead, role=Role.ADMIN, by=lead),
            lambda: change_project_role(
                session, account=ada, project=sqlite_project, role=Role.LEAD, by=lead
            ),
            lambda: switch_off(session, account=ada, by=lead),
            lambda: switch_on(session, account=ada, by=lead),
        ):
            with pytest.raises(NotAllowed, match="manage accounts"):
                deed()


def test_an_imported_account_has_no_role_to_change(sqlite_engine: Engine) -> None:
    with writing(sqlite_engine) as session:
        came = Account(name="x", role=Role.ANNOTATOR, imported_from="a file")
        session.add(came)
        session.flush()
        with pytest.raises(BadInput, match="Nobody signs in to x"):
            change_role(session, account=came, role=Role.LEAD, by=None)
