from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.audit.log import NOBODY, AuditChoice, audit_rows
from labeling.people.access_tokens import make_token, revoke_token
from labeling.people.refused_tokens import FREE, MOST_UNKNOWN, REFUSED, record_refused
from labeling.people.roles import switch_off
from labeling.people.sign_ins import Browser
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import AccessToken, Account, Event, Role
from tests.sample_rows import add_account

HERE, THERE = Browser(address="192.0.2.1"), Browser(address="192.0.2.2")


def come(engine: Engine, secret: str, browser: Browser = HERE, times: int = 1) -> int:
    """Come with a token that is refused; return how often that was recorded."""
    with writing(engine) as session:
        return sum(record_refused(session, secret=secret, browser=browser) for _ in range(times))


def made(engine: Engine, account: Account) -> tuple[int, str]:
    with writing(engine) as session:
        token, secret = make_token(
            session, account=account, name="CI", days=1, longest=9, by=account
        )
        assert token.id is not None
        return token.id, secret


def refusals(engine: Engine) -> list[Event]:
    with reading(engine) as session:
        chosen = select(Event).where(Event.kind == REFUSED).order_by(col(Event.id))
        return list(session.exec(chosen))


def test_it_says_which_token_whose_and_why(engine: Engine) -> None:
    lead = add_account(engine, "lead", role=Role.LEAD)
    off = add_account(engine, "off", role=Role.LEAD)
    (expired, first), (revoked, second), (of_off, third) = (
        made(engine, lead), made(engine, lead), made(engine, off),
    )  # fmt: skip
    with writing(engine) as session:
        session.get_one(AccessToken, expired).expires_at = now() - timedelta(seconds=1)
        revoke_token(session, account=lead, token_id=revoked, by=lead)
        switch_off(session, account=off, by=None)
    assert [come(engine, each) for each in (first, second, third, "rlt_never made")] == [1] * 4
    details = [event.detail for event in refusals(engine)]
    assert details == [
        {"why": "expired", "token_id": expired, "whose_id": lead.id},
        {"why": "revoked", "token_id": revoked, "whose_id": lead.id},
        {"why": "account switched off", "token_id": of_off, "whose_id": off.id},
        {"why": "unknown"},
    ]
    assert {str(event.personal) for event in refusals(engine)} == {"{'address': '192.0.2.1'}"}
    assert {event.account_id for event in refusals(engine)} == {None}


def test_admins_read_it_in_the_audit_log(sqlite_engine: Engine) -> None:
    admin = add_account(sqlite_engine, "root", role=Role.ADMIN)
    token_id, secret = made(sqlite_engine, admin)
    with writing(sqlite_engine) as session:
        revoke_token(session, account=admin, token_id=token_id, by=admin)
    come(sqlite_engine, secret)
    with reading(sqlite_engine) as session:
        row = audit_rows(session, account=admin, choice=AuditChoice(kinds=[REFUSED]))[0]
    assert (row.who, row.whom, row.address) == (NOBODY, "root", HERE.address)
    assert row.what == "Came with a token that is not good"
    assert row.told == f"token id: {token_id}; why: revoked"


def test_of_what_was_sent_nothing_is_kept(sqlite_engine: Engine) -> None:
    come(sqlite_engine, "a password in the wrong place")
    assert "password" not in str([event.model_dump() for event in refusals(sqlite_engine)])


def test_a_flood_of_one_address_or_token_is_recorded_ever_less(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = add_account(sqlite_engine, "lead", role=Role.LEAD)
    token_id, secret = made(sqlite_engine, lead)
    with writing(sqlite_engine) as session:
        revoke_token(session, account=lead, token_id=token_id, by=lead)
    assert come(sqlite_engine, "rlt_x", times=60) == FREE
    # Neither hides the other, nor what comes from elsewhere.
    assert come(sqlite_engine, secret, times=60) == FREE
    assert come(sqlite_engine, secret, THERE) == 0, "a token is one wherever it is used"
    assert come(sqlite_engine, "rlt_y", THERE) == 1
    begun = now()
    clock = (begun + timedelta(seconds=10 * step) for step in range(360))
    recorded = 0
    for second in clock:
        monkeypatch.setattr("labeling.people.failed_sign_ins.now", lambda at=second: at)
        monkeypatch.setattr("labeling.events.now", lambda at=second: at)
        recorded += come(sqlite_engine, "rlt_x")
    assert 10 < recorded < 100, "an hour of one refusal in ten seconds"


def test_a_flood_from_everywhere_is_bounded_and_hides_no_token_that_was_good(
    sqlite_engine: Engine,
) -> None:
    lead = add_account(sqlite_engine, "lead", role=Role.LEAD)
    token_id, secret = made(sqlite_engine, lead)
    with writing(sqlite_engine) as session:
        revoke_token(session, account=lead, token_id=token_id, by=lead)
    come_from = (Browser(address=f"2001:db8:{number:x}::1") for number in range(MOST_UNKNOWN * 2))
    assert sum(come(sqlite_engine, "rlt_x", each) for each in come_from) == MOST_UNKNOWN
    assert come(sqlite_engine, secret) == 1
