from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.accounts import (
    account_of_token,
    authenticate,
    close_sign_in,
    create_account,
    generate_password,
    open_sign_in,
)
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import Account, Event, Role, SignIn


def add(engine: Engine, name: str, password: str | None = None, active: bool = True) -> Account:
    with writing(engine) as session:
        account = create_account(session, name=name, role=Role.ANNOTATOR, password=password)
        account.active = active
    return account


def test_the_right_password_signs_in_and_is_not_stored(engine: Engine) -> None:
    password = generate_password()
    account = add(engine, "ada", password)
    with reading(engine) as session:
        assert authenticate(session, name="ada", password=password).id == account.id
        stored = session.get_one(Account, account.id).password_hash
        assert stored is not None and stored.startswith("$argon2id$") and password not in stored


def test_all_misfits_get_one_message(sqlite_engine: Engine) -> None:
    add(sqlite_engine, "ada", "right password")
    add(sqlite_engine, "off", "right password", active=False)
    add(sqlite_engine, "none")
    messages = set()
    for name, password in [
        ("ada", "wrong password"),
        ("nobody", "right password"),
        ("off", "right password"),
        ("none", "right password"),
        ("none", ""),
    ]:
        with reading(sqlite_engine) as session, pytest.raises(NotAllowed) as caught:
            authenticate(session, name=name, password=password)
        messages.add(str(caught.value))
    assert len(messages) == 1


@pytest.mark.parametrize("name", ["nobody", "ada", "none"])
def test_every_refusal_verifies_one_hash(
    sqlite_engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(sqlite_engine, "ada", "right password")
    add(sqlite_engine, "none")
    calls = []
    monkeypatch.setattr("labeling.people.passwords.fits", lambda *given: calls.append(given))
    with reading(sqlite_engine) as session, pytest.raises(NotAllowed):
        authenticate(session, name=name, password="wrong password")
    assert len(calls) == 1


def test_a_token_opens_until_it_is_closed(engine: Engine) -> None:
    account = add(engine, "ada")
    with writing(engine) as session:
        token = open_sign_in(session, account_id=account.id or 0, hours=1)
    with reading(engine) as session:
        found = account_of_token(session, token=token)
        assert found is not None and found.name == "ada"
        assert token not in [row.token_sha256 for row in session.exec(select(SignIn))]
        assert account_of_token(session, token=token + "x") is None
    with writing(engine) as session:
        close_sign_in(session, token=token)
    with reading(engine) as session:
        assert account_of_token(session, token=token) is None
        kinds = session.exec(select(Event.kind).order_by(col(Event.id))).all()
    assert kinds == ["account.created", "sign_in.opened", "sign_in.closed"]


def test_a_token_expires(sqlite_engine: Engine) -> None:
    account = add(sqlite_engine, "ada")
    with writing(sqlite_engine) as session:
        token = open_sign_in(session, account_id=account.id or 0, hours=1)
        session.exec(select(SignIn)).one().expires_at = now() - timedelta(seconds=1)
    with reading(sqlite_engine) as session:
        assert account_of_token(session, token=token) is None


def test_a_token_of_an_account_switched_off_is_worth_nothing(sqlite_engine: Engine) -> None:
    account = add(sqlite_engine, "ada")
    with writing(sqlite_engine) as session:
        token = open_sign_in(session, account_id=account.id or 0, hours=1)
        session.get_one(Account, account.id).active = False
    with reading(sqlite_engine) as session:
        assert account_of_token(session, token=token) is None
    with writing(sqlite_engine) as session, pytest.raises(NotFound, match="switched off"):
        open_sign_in(session, account_id=account.id or 0, hours=1)


@pytest.mark.parametrize("name", ["", " ada", "a\nb", "x" * 101])
def test_names_that_do_not_fit_are_refused(sqlite_engine: Engine, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        add(sqlite_engine, name)


def test_a_short_password_and_a_taken_name_are_refused(sqlite_engine: Engine) -> None:
    with pytest.raises(BadInput, match="at least 8"):
        add(sqlite_engine, "ada", "1234567")
    add(sqlite_engine, "ada")
    with pytest.raises(Conflict, match="named ada already"):
        add(sqlite_engine, "ada")


def test_only_admins_make_accounts(sqlite_engine: Engine) -> None:
    lead = Account(name="lead", role=Role.LEAD)
    with writing(sqlite_engine) as session, pytest.raises(NotAllowed, match="manage accounts"):
        create_account(session, name="x", role=Role.ADMIN, by=lead)
