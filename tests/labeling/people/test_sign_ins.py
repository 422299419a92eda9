from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.people.own_password import change_password
from labeling.people.passwords import hash_password
from labeling.people.sign_ins import (
    Browser,
    account_of_token,
    note_seen,
    open_sign_in,
    open_sign_ins,
    revoke_sign_in,
    revoke_sign_ins,
)
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed, NotFound
from storage.tables import Account, Event, Role, SignIn
from tests.sample_rows import add_account

FIREFOX = Browser(address="192.0.2.7", user_agent="Firefox\n/140")


def opened(engine: Engine, account: Account, browser: Browser = FIREFOX) -> str:
    with writing(engine) as session:
        return open_sign_in(session, account_id=account.id or 0, hours=1, browser=browser)


def holds(engine: Engine, token: str) -> bool:
    with reading(engine) as session:
        return account_of_token(session, token=token) is not None


def test_open_ones_are_listed_with_where_they_came_from(engine: Engine) -> None:
    ada = add_account(engine, "ada")
    first, second = opened(engine, ada), opened(engine, ada, Browser("2001:db8::1", "x" * 900))
    opened(engine, add_account(engine, "bob"))
    with reading(engine) as session:
        rows = open_sign_ins(session, account=ada, by=ada, token=first)
    assert {(row.address, row.user_agent[:12], row.is_this) for row in rows} == {
        ("192.0.2.7", "Firefox/140", True), ("2001:db8::1", "x" * 12, False),
    }  # fmt: skip
    assert all(second not in (row.name, row.user_agent) for row in rows)


def test_one_is_revoked_by_its_name(engine: Engine) -> None:
    ada = add_account(engine, "ada")
    first, second = opened(engine, ada), opened(engine, ada)
    with writing(engine) as session:
        rows = open_sign_ins(session, account=ada, by=ada, token=first)
        (other,) = [row.name for row in rows if not row.is_this]
        revoke_sign_in(session, account=ada, name=other, by=ada)
    assert (holds(engine, first), holds(engine, second)) == (True, False)
    with writing(engine) as session:
        with pytest.raises(NotFound, match="closed already"):
            revoke_sign_in(session, account=ada, name=other, by=ada)
        with pytest.raises(BadInput, match="16 characters"):
            revoke_sign_in(session, account=ada, name="", by=ada)


def test_all_others_are_revoked_at_once(engine: Engine) -> None:
    ada, bob = add_account(engine, "ada"), add_account(engine, "bob")
    tokens = [opened(engine, ada) for _ in range(3)]
    others = opened(engine, bob)
    with writing(engine) as session:
        assert revoke_sign_ins(session, account=ada, by=ada, but_token=tokens[0]) == 2
    assert [holds(engine, token) for token in [*tokens, others]] == [True, False, False, True]
    with writing(engine) as session:
        assert revoke_sign_ins(session, account=ada, by=None) == 1
        assert revoke_sign_ins(session, account=ada, by=None) == 0
        kinds = session.exec(select(Event).where(Event.kind == "sign_in.revoked")).all()
    assert [(each.account_id, each.detail["count"]) for each in kinds] == [(ada.id, 2), (None, 1)]


def test_others_sign_ins_are_an_admins_business(sqlite_engine: Engine) -> None:
    ada, lead = add_account(sqlite_engine, "ada"), add_account(sqlite_engine, "l", role=Role.LEAD)
    admin = add_account(sqlite_engine, "a", role=Role.ADMIN)
    opened(sqlite_engine, ada)
    with writing(sqlite_engine) as session:
        for deed in (open_sign_ins, revoke_sign_ins):
            with pytest.raises(NotAllowed, match="manage accounts"):
                deed(session, account=ada, by=lead)
        with pytest.raises(NotAllowed, match="manage accounts"):
            revoke_sign_in(session, account=ada, name="0" * 16, by=lead)
        assert len(open_sign_ins(session, account=ada, by=admin)) == 1
        assert revoke_sign_ins(session, account=ada, by=admin) == 1


def test_when_it_was_seen_is_written_seldom(engine: Engine) -> None:
    ada = add_account(engine, "ada")
    token = opened(engine, ada)
    long_ago = now() - timedelta(minutes=30)
    with writing(engine) as session:
        session.exec(select(SignIn)).one().last_seen_at = long_ago
    with writing(engine) as session:
        note_seen(session, token=token, minutes=45)
        assert session.exec(select(SignIn.last_seen_at)).one() == long_ago
        note_seen(session, token=token, minutes=5)
        seen = session.exec(select(SignIn.last_seen_at)).one()
    assert seen is not None and seen > now() - timedelta(minutes=1)


def test_a_new_password_closes_the_other_sign_ins(engine: Engine) -> None:
    with writing(engine) as session:
        ada = Account(name="ada", role=Role.LEAD, password_hash=hash_password("old password"))
        session.add(ada)
    mine, other = opened(engine, ada), opened(engine, ada)
    with writing(engine) as session, pytest.raises(NotAllowed, match="is another"):
        change_password(session, account=ada, old="wrong", new="new password", token=mine)
    with writing(engine) as session, pytest.raises(BadInput, match="too short"):
        change_password(session, account=ada, old="old password", new="new", token=mine)
    assert holds(engine, other)
    with writing(engine) as session:
        change_password(session, account=ada, old="old password", new="new password", token=mine)
    assert (holds(engine, mine), holds(engine, other)) == (True, False)
    with writing(engine) as session, pytest.raises(NotAllowed, match="is another"):
        change_password(session, account=ada, old="old password", new="x" * 9, token=mine)
