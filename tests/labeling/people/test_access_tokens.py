from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.people.access_tokens import (
    account_of_secret,
    make_token,
    note_used,
    revoke_token,
    tokens,
)
from labeling.people.directory import accounts
from labeling.people.roles import switch_off
from labeling.permissions import Action, allows, narrowed_to
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed, NotFound
from storage.tables import AccessToken, Account, Event, Role
from tests.sample_rows import add_account


def made(engine: Engine, account: Account, **more: object) -> str:
    with writing(engine) as session:
        given = {"name": "CI", "days": 1, "longest": 9, "by": account, **more}
        return make_token(session, account=account, **given)[1]  # type: ignore[arg-type]


def holds(engine: Engine, secret: str) -> bool:
    with reading(engine) as session:
        return account_of_secret(session, secret=secret) is not None


def test_a_secret_is_shown_once_and_narrows(engine: Engine) -> None:
    lead = add_account(engine, "lead", role=Role.LEAD)
    secret = made(engine, lead, actions=["export"])
    assert secret.startswith("rlt_") and len(secret) > 40
    with reading(engine) as session:
        assert secret not in str(session.exec(select(AccessToken)).one())
        found = account_of_secret(session, secret=secret)
        assert found is not None
        account, token = found
    with narrowed_to(token.actions):
        allowed = {action for action in Action if allows(account, action, project_id=1)}
    assert allowed == {Action.EXPORT}
    assert not holds(engine, secret + "x") and not holds(engine, "") and not holds(engine, "rlt_")


def test_a_token_ends_with_its_time_its_account_and_when_revoked(sqlite_engine: Engine) -> None:
    lead = add_account(sqlite_engine, "lead", role=Role.LEAD)
    first, second, third = (made(sqlite_engine, lead) for _ in range(3))
    with writing(sqlite_engine) as session:
        rows = tokens(session, account=lead, by=lead)
        session.get_one(AccessToken, rows[0].id).expires_at = now() - timedelta(seconds=1)
        revoke_token(session, account=lead, token_id=rows[1].id, by=lead)
    assert [holds(sqlite_engine, each) for each in (first, second, third)] == [True, False, False]
    with writing(sqlite_engine) as session:
        assert [row.id for row in tokens(session, account=lead, by=None)] == [rows[2].id]
        with pytest.raises(NotFound, match="no token"):
            revoke_token(session, account=lead, token_id=rows[1].id, by=lead)
        switch_off(session, account=lead, by=None)
    assert not holds(sqlite_engine, first)
    with reading(sqlite_engine) as session:
        kinds = session.exec(select(Event.kind).where(Event.kind.startswith("access_"))).all()  # type: ignore[attr-defined]
    assert sorted(kinds) == ["access_token.made"] * 3 + ["access_token.revoked"]


def test_tokens_are_their_owners_and_admins_only_take_them(sqlite_engine: Engine) -> None:
    lead = add_account(sqlite_engine, "lead", role=Role.LEAD)
    other = add_account(sqlite_engine, "other", role=Role.LEAD)
    admin = add_account(sqlite_engine, "admin", role=Role.ADMIN)
    secret = made(sqlite_engine, lead)
    with writing(sqlite_engine) as session:
        (row,) = tokens(session, account=lead, by=admin)
        with pytest.raises(NotAllowed, match="themselves"):
            make_token(session, account=lead, name="x", days=1, longest=9, by=admin)
        with pytest.raises(NotAllowed):
            tokens(session, account=lead, by=other)
        with pytest.raises(NotAllowed):
            revoke_token(session, account=lead, token_id=row.id, by=other)
        with pytest.raises(NotFound):
            revoke_token(session, account=other, token_id=row.id, by=other)
        revoke_token(session, account=lead, token_id=row.id, by=admin)
    assert not holds(sqlite_engine, secret)


@pytest.mark.parametrize(
    "more",
    [{"name": " "}, {"name": "x" * 101}, {"days": 0}, {"days": 10}, {"actions": ["fly"]}],
)
def test_what_does_not_fit_is_refused(sqlite_engine: Engine, more: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        made(sqlite_engine, add_account(sqlite_engine), **more)


def test_use_is_written_seldom(engine: Engine) -> None:
    ada = add_account(engine, "ada")
    made(engine, ada)
    with writing(engine) as session:
        (row,) = tokens(session, account=ada, by=ada)
        note_used(session, token_id=row.id, minutes=5)
        first = tokens(session, account=ada, by=ada)[0].last_used_at
        note_used(session, token_id=row.id, minutes=5)
        assert tokens(session, account=ada, by=ada)[0].last_used_at == first is not None


def test_the_directory_is_for_admins(engine: Engine) -> None:
    ada, bob = add_account(engine, "Ada_1"), add_account(engine, "bob", role=Role.ADMIN)
    add_account(engine, "ADAM", active=False)
    with reading(engine) as session:
        assert [(row.name, row.state) for row in accounts(session, by=bob, search="ada")] == [
            ("Ada_1", "active"), ("ADAM", "off"),
        ]  # fmt: skip
        assert [row.name for row in accounts(session, by=None, search="a_")] == ["Ada_1"]
        with pytest.raises(NotAllowed):
            accounts(session, by=ada)


@pytest.mark.parametrize("search", ["Émile", "émile", "ÉMI", "e\u0301mile"])
def test_names_are_found_in_every_alphabet(engine: Engine, search: str) -> None:
    for name in ("Émile Zola", "Ada"):
        add_account(engine, name)
    with reading(engine) as session:
        assert [row.name for row in accounts(session, by=None, search=search)] == ["Émile Zola"]
