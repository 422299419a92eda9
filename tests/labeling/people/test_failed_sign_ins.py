from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.accounts import authenticate
from labeling.people.failed_sign_ins import (
    FAILED,
    FREE_OF_ADDRESS,
    FREE_OF_NAME,
    record_failure,
    seconds_to_wait,
)
from labeling.people.sign_ins import Browser, close_sign_in, open_sign_in
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, Event
from tests.sample_rows import add_account

HERE, THERE = Browser(address="192.0.2.1"), Browser(address="192.0.2.2")


def fail(engine: Engine, name: str, browser: Browser, times: int, token: str | None = None) -> None:
    with writing(engine) as session:
        for _ in range(times):
            record_failure(session, name=name, browser=browser, token=token)


def wait(engine: Engine, name: str, browser: Browser, token: str | None = None) -> float:
    with reading(engine) as session:
        return seconds_to_wait(session, name=name, browser=browser, token=token)


def signed_in(engine: Engine, name: str) -> str:
    with writing(engine) as session:
        account = session.exec(select(Account).where(Account.name == name)).one()
        return open_sign_in(session, account_id=account.id or 0, hours=1)


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_a_name_waits_from_anywhere_whether_it_exists_or_not(engine: Engine, name: str) -> None:
    add_account(engine, "ada")
    fail(engine, name, HERE, FREE_OF_NAME - 1)
    assert wait(engine, name, THERE) == 0
    fail(engine, name.upper(), HERE, 1)
    assert 1 < wait(engine, name, THERE) <= 2
    assert wait(engine, "somebody else", THERE) == 0


def test_a_clock_that_is_set_back_neither_bars_nor_lets_guess(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = add_account(sqlite_engine, "ada").id or 0
    with writing(sqlite_engine) as session:
        open_sign_in(session, account_id=ada, hours=1)
    fail(sqlite_engine, "ada", HERE, FREE_OF_NAME + 9)
    assert wait(sqlite_engine, "ada", HERE) > 50
    before = now() - timedelta(hours=2)
    for module in ("labeling.people.failed_sign_ins", "labeling.events"):
        monkeypatch.setattr(f"{module}.now", lambda: before)
    assert wait(sqlite_engine, "ada", THERE) == 0
    fail(sqlite_engine, "ada", HERE, FREE_OF_NAME)
    assert 1 < wait(sqlite_engine, "ada", THERE) <= 2


def test_the_clock_of_another_server_may_be_a_little_ahead(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = now() + timedelta(seconds=20)
    with monkeypatch.context() as patch:
        patch.setattr("labeling.events.now", lambda: ahead)
        fail(sqlite_engine, "ada", HERE, FREE_OF_NAME)
    assert wait(sqlite_engine, "ada", THERE) == 2


@pytest.mark.parametrize("name", ["ada\x00", "ada\ud800"], ids=["NUL", "surrogate"])
def test_a_name_that_cannot_be_stored_is_one_like_others(engine: Engine, name: str) -> None:
    add_account(engine, "ada")
    fail(engine, name, HERE, FREE_OF_NAME)
    assert wait(engine, name, THERE) > 0
    with reading(engine) as session, pytest.raises(NotAllowed, match="do not fit"):
        authenticate(session, name=name, password="correct horse")


def test_an_address_waits_whatever_the_name(sqlite_engine: Engine) -> None:
    for number in range(FREE_OF_ADDRESS + 3):
        fail(sqlite_engine, f"name {number}", HERE, 1)
    assert 14 < wait(sqlite_engine, "another", HERE) <= 16
    assert wait(sqlite_engine, "another", THERE) == 0


def test_strangers_cannot_make_a_name_wait_for_long_elsewhere(engine: Engine) -> None:
    add_account(engine, "ada")
    for number in range(40):
        fail(engine, "ada", Browser(address=f"198.51.100.{number}"), 1)
    # Slower than without: who has an address for each guess gets four a minute at most.
    assert 14 < wait(engine, "ada", HERE) <= 15
    # Whoever goes on guessing from one place waits for longer there.
    fail(engine, "ada", THERE, FREE_OF_NAME + 5)
    assert wait(engine, "ada", THERE) > 50
    assert 14 < wait(engine, "ada", HERE) <= 15


def test_a_browser_that_was_signed_in_waits_for_its_own_failures_alone(engine: Engine) -> None:
    add_account(engine, "ada")
    add_account(engine, "eve")
    token, of_another = signed_in(engine, "ada"), signed_in(engine, "eve")
    with writing(engine) as session:
        close_sign_in(session, token=token)
    # From its own address, too, as where many share one.
    fail(engine, "ada", HERE, FREE_OF_ADDRESS + 9)
    assert wait(engine, "ada", HERE) > 50
    assert wait(engine, "ada", HERE, token) == 0
    # Nobody is known who was signed in to another account, or never.
    for other in (of_another, "made up", ""):
        assert wait(engine, "ada", HERE, other) > 50
    # Whoever has it may not guess on with it, wherever they are.
    fail(engine, "ada", THERE, FREE_OF_NAME + 9, token)
    assert wait(engine, "ada", Browser(address="203.0.113.5"), token) > 50


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("testclient", "testclient", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_which_addresses_count_as_one(
    sqlite_engine: Engine, one: str, other: str, same: bool
) -> None:
    for number in range(FREE_OF_ADDRESS + 3):
        fail(sqlite_engine, f"name {number}", Browser(address=one), 1)
    assert (wait(sqlite_engine, "another", Browser(address=other)) > 14) is same


def test_a_spray_of_names_over_a_network_waits(sqlite_engine: Engine) -> None:
    for number in range(FREE_OF_ADDRESS + 3):
        fail(sqlite_engine, f"name {number}", Browser(address=f"2001:db8::{number:x}"), 1)
    assert 14 < wait(sqlite_engine, "another", Browser(address="2001:db8::abcd")) <= 16
    assert wait(sqlite_engine, "another", Browser(address="2001:db8:0:1::1")) == 0


def test_a_sign_in_ends_the_wait_of_the_name(sqlite_engine: Engine) -> None:
    ada = add_account(sqlite_engine, "ada")
    fail(sqlite_engine, "ada", HERE, FREE_OF_NAME)
    with writing(sqlite_engine) as session:
        open_sign_in(session, account_id=ada.id or 0, hours=1)
    assert wait(sqlite_engine, "ada", HERE) == 0


def test_failures_are_forgotten(sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(sqlite_engine, "ada", HERE, 40)
    assert wait(sqlite_engine, "ada", HERE) > 50
    later = now() + timedelta(minutes=16)
    monkeypatch.setattr("labeling.people.failed_sign_ins.now", lambda: later)
    assert wait(sqlite_engine, "ada", HERE) == 0


def test_nothing_that_was_typed_is_kept(sqlite_engine: Engine) -> None:
    fail(sqlite_engine, "my secret password", HERE, 1)
    with reading(sqlite_engine) as session:
        (event,) = session.exec(select(Event).where(Event.kind == FAILED)).all()
    assert set(event.detail) == {"mark"} and len(event.detail["mark"]) == 4
    assert event.personal == {"address": HERE.address}
    assert event.account_id is None
