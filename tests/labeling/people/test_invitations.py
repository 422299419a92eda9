import threading
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.accounts import authenticate
from labeling.people.invitations import (
    accept,
    invitations,
    invite,
    offer_new_password,
    offered,
    revoke_invitation,
)
from labeling.people.passwords import hash_password
from labeling.people.roles import switch_off
from labeling.people.sign_ins import account_of_token, open_sign_in
from labeling.permissions import role_of
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound, RankloopError
from storage.tables import Account, Event, Invitation, Project, Role
from tests.sample_rows import add_account

PASSWORD = "correct horse battery"


def link(engine: Engine, role: Role = Role.LEAD, project: Project | None = None) -> str:
    with writing(engine) as session:
        return invite(session, role=role, hours=2, by=None, project=project)[1]


def join(engine: Engine, code: str, name: str, password: str = PASSWORD) -> Account:
    with writing(engine) as session:
        return accept(session, code=code, name=name, password=password)


def test_an_invitation_makes_one_account_once(engine: Engine) -> None:
    code = link(engine)
    with reading(engine) as session:
        assert offered(session, code=code).role is Role.LEAD
        assert code not in str(session.exec(select(Invitation)).one())
    ada = join(engine, code, "ada")
    assert (ada.role, ada.project_roles) == (Role.LEAD, {})
    with pytest.raises(NotFound, match="used, has expired"):
        join(engine, code, "bob")
    with reading(engine) as session:
        assert authenticate(session, name="ada", password=PASSWORD).id == ada.id
        (row,) = invitations(session, by=None)
        kinds = session.exec(select(Event.kind)).all()
        assert session.exec(select(Account.name)).all() == ["ada"]
    assert (row.state, row.used_by) == ("used", "ada")
    assert set(kinds) == {"invitation.made", "account.created", "invitation.used"}


def test_a_name_or_password_that_cannot_be_leaves_it_open(engine: Engine) -> None:
    add_account(engine, "ada")
    code = link(engine)
    with pytest.raises(Conflict, match="named ada already"):
        join(engine, code, "ada")
    with pytest.raises(BadInput, match="too short"):
        join(engine, code, "bob", "short")
    assert join(engine, code, "bob").name == "bob"


def test_of_many_who_use_it_at_once_one_gets_it(engine: Engine) -> None:
    code, ready = link(engine), threading.Barrier(6)
    came: list[str] = []

    def come(number: int) -> None:
        ready.wait()
        try:
            came.append(join(engine, code, f"someone {number}").name)
        except RankloopError as error:
            assert isinstance(error, NotFound)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as session:
        assert session.exec(select(Account.name)).all() == came
    assert len(came) == 1


def test_an_invitation_to_a_project_counts_there_alone(engine: Engine, project: Project) -> None:
    account = join(engine, link(engine, Role.ENGINEER, project), "eve")
    with reading(engine) as session:
        eve = session.get_one(Account, account.id)
        assert role_of(eve, project.id) is Role.ENGINEER
        assert role_of(eve, (project.id or 0) + 1) is None
        assert role_of(eve, None) is Role.ANNOTATOR


def test_it_expires_and_is_taken_back(sqlite_engine: Engine) -> None:
    code, other = link(sqlite_engine), link(sqlite_engine)
    with writing(sqlite_engine) as session:
        first, second = invitations(session, by=None)[::-1]
        session.get_one(Invitation, first.id).expires_at = now() - timedelta(seconds=1)
        revoke_invitation(session, invitation_id=second.id, by=None)
    for each in (code, other, "never made"):
        with pytest.raises(NotFound):
            join(sqlite_engine, each, "ada")
        with reading(sqlite_engine) as session, pytest.raises(NotFound):
            offered(session, code=each)
    with writing(sqlite_engine) as session:
        assert [row.state for row in invitations(session, by=None)] == ["revoked", "expired"]
        with pytest.raises(NotFound, match="not open"):
            revoke_invitation(session, invitation_id=first.id, by=None)


@pytest.mark.parametrize("hours", [0, -1, 24 * 365, float("nan")])
def test_how_long_it_may_be_good(sqlite_engine: Engine, hours: float) -> None:
    with writing(sqlite_engine) as session, pytest.raises(BadInput, match="hours"):
        invite(session, role=Role.LEAD, hours=hours, by=None)


def test_leads_invite_annotators_to_their_project(
    sqlite_engine: Engine, sqlite_project: Project
) -> None:
    lead = add_account(sqlite_engine, "lead", role=Role.LEAD)
    engineer = add_account(sqlite_engine, "engineer", role=Role.ENGINEER)
    with writing(sqlite_engine) as session:
        made, _ = invite(session, role=Role.ANNOTATOR, hours=1, by=lead, project=sqlite_project)
        admins, _ = invite(session, role=Role.LEAD, hours=1, by=None, project=sqlite_project)
        for role, project in [
            (Role.LEAD, sqlite_project), (Role.ADMIN, None), (Role.ANNOTATOR, None)
        ]:  # fmt: skip
            with pytest.raises(NotAllowed):
                invite(session, role=role, hours=1, by=lead, project=project)
        with pytest.raises(NotAllowed, match="may not invite"):
            invite(session, role=Role.ANNOTATOR, hours=1, by=engineer, project=sqlite_project)
        with pytest.raises(NotAllowed):
            offer_new_password(session, account=engineer, hours=1, by=lead)
        rows = invitations(session, by=lead, project=sqlite_project)
        assert {row.id for row in rows} == {made.id, admins.id}
        with pytest.raises(NotAllowed, match="manage accounts"):
            revoke_invitation(session, invitation_id=admins.id or 0, by=lead)
        revoke_invitation(session, invitation_id=made.id or 0, by=lead)


def test_a_link_to_a_new_password_closes_the_sign_ins(engine: Engine) -> None:
    with writing(engine) as session:
        ada = Account(name="ada", role=Role.LEAD, password_hash=hash_password("old password"))
        session.add(ada)
        session.flush()
        token = open_sign_in(session, account_id=ada.id or 0, hours=1)
        code = offer_new_password(session, account=ada, hours=1, by=None)[1]
        assert offered(session, code=code).account == "ada"
    assert join(engine, code, "a name that is not asked for").id == ada.id
    with reading(engine) as session:
        assert account_of_token(session, token=token) is None
        assert authenticate(session, name="ada", password=PASSWORD).id == ada.id
        with pytest.raises(NotAllowed):
            authenticate(session, name="ada", password="old password")


def test_who_is_switched_off_has_invited_nobody(sqlite_engine: Engine) -> None:
    admin = add_account(sqlite_engine, "admin", role=Role.ADMIN)
    add_account(sqlite_engine, "other", role=Role.ADMIN)
    with writing(sqlite_engine) as session:
        code = invite(session, role=Role.ADMIN, hours=1, by=admin)[1]
        reset = offer_new_password(session, account=admin, hours=1, by=None)[1]
        switch_off(session, account=admin, by=None)
    for each in (code, reset):
        with pytest.raises(NotFound):
            join(sqlite_engine, each, "mallory")
