"""Signing in through a real provider (oidc-provider-mock, in a process of its own)."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlmodel import col, select
from starlette.testclient import TestClient

from labeling.people.invitations import invite
from labeling.people.roles import switch_off
from labeling.people.sign_ins import revoke_sign_ins
from labeling.permissions import role_of
from storage.account_settings import OidcSettings
from storage.engine import reading, writing
from storage.tables import Account, Event, Project, Role, SignIn
from tests.sample_rows import add_account
from tests.ui.conftest import PASSWORD, Home
from tests.ui.entrance.conftest import client_of
from tests.ui.entrance.provider_stage import agreed, query_of, running_provider
from ui import process
from ui.cookie import COOKIE
from ui.entrance.flow_cookie import FLOW_COOKIE

SECRET = "a secret that the provider made"
Come = Callable[..., Any]


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with running_provider() as url:
        yield url


@pytest.fixture
def set_up(
    provider: str, entrance_home: Home, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TestClient]:
    """Return a client of a server with these settings of the provider."""
    monkeypatch.setenv("RANKLOOP_OIDC_SECRET", SECRET)

    def build(**values: Any) -> TestClient:
        oidc = OidcSettings(
            metadata_url=f"{provider}/.well-known/openid-configuration", client_id="rankloop",
            name="Example", **values,
        )  # fmt: skip
        process.configure(entrance_home.settings.model_copy(update={"oidc": oidc}))
        return client_of()

    return build


def come(client: TestClient, person: str | None, start: str = "/oidc/login?next=/rounds") -> Any:
    leaving = client.get(start)
    assert leaving.status_code == 302, leaving.text
    return client.get(agreed(leaving.headers["location"], person=person))


def accounts(home: Home) -> dict[str, Account]:
    with reading(home.engine) as session:
        return {each.name: each for each in session.exec(select(Account))}


def test_leaving_has_state_nonce_and_pkce_and_a_guarded_cookie(
    set_up: Callable[..., TestClient],
) -> None:
    answer = set_up().get("/oidc/login", headers={"x-forwarded-proto": "https"})
    asked = query_of(answer.headers["location"])
    assert len(asked["state"]) >= 20 and len(asked["nonce"]) >= 16
    assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
    assert asked["redirect_uri"] == "https://testserver/oidc/callback"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{FLOW_COOKIE}=") and SECRET not in cookie
    assert {"HttpOnly", "SameSite=lax", "Path=/oidc", "Secure"} <= set(cookie.split("; "))


def test_the_first_sign_in_makes_an_account_where_that_is_allowed(
    set_up: Callable[..., TestClient], entrance_home: Home
) -> None:
    client = set_up(new_accounts=True, email_domains=("Example.org",))
    assert "Continue with Example" in client.get("/login").text
    answer = come(client, "ada")
    assert (answer.status_code, answer.headers["location"]) == (303, "/rounds")
    assert client.get("/").text == "inside"
    assert FLOW_COOKIE not in client.cookies
    again = set_up(new_accounts=True)
    assert come(again, "ada").status_code == 303
    (ada,) = accounts(entrance_home).values()
    assert (ada.name, ada.role, ada.password_hash) == ("ada", Role.ANNOTATOR, None)
    assert ada.oidc_subject is not None and ada.oidc_subject.endswith("#ada")
    with reading(entrance_home.engine) as session:
        assert {str(way) for way in session.exec(select(SignIn.way))} == {"oidc"}
        kinds = session.exec(select(Event.kind).where(col(Event.project_id).is_(None))).all()
    assert sorted(kinds) == ["account.created", "account.linked", *["sign_in.opened"] * 2]


def test_our_sign_in_is_revoked_and_signed_out_as_any_other(
    set_up: Callable[..., TestClient], entrance_home: Home
) -> None:
    client = set_up(new_accounts=True)
    come(client, "ada")
    ada = accounts(entrance_home)["ada"]
    with writing(entrance_home.engine) as session:
        assert revoke_sign_ins(session, account=ada, by=None) == 1
    assert client.get("/").status_code == 303
    come(client, "ada")
    client.post("/logout")
    assert COOKIE not in client.cookies
    with reading(entrance_home.engine) as session:
        assert None not in session.exec(select(SignIn.revoked_at)).all()


@pytest.mark.parametrize("person", ["bob", "eve"])
def test_only_verified_addresses_of_the_domains_come_in(
    set_up: Callable[..., TestClient], entrance_home: Home, person: str
) -> None:
    client = set_up(new_accounts=True, email_domains=("example.org",))
    answer = come(client, person)
    assert answer.status_code == 403 and "yours is none" in answer.text
    assert accounts(entrance_home) == {} and COOKIE not in client.cookies
    with reading(entrance_home.engine) as session:
        (event,) = session.exec(select(Event).where(col(Event.project_id).is_(None))).all()
    assert (event.kind, event.detail) == ("sign_in.failed", {"way": "oidc"})
    assert event.personal == {"address": "192.0.2.7"}


def test_a_stranger_needs_an_invitation(
    set_up: Callable[..., TestClient], entrance_home: Home
) -> None:
    client = set_up()
    assert "ask for an invitation" in come(client, "ada").text
    with writing(entrance_home.engine) as session:
        project = session.get_one(Project, entrance_home.project_id)
        code = invite(session, role=Role.LEAD, hours=1, by=None, project=project)[1]
    assert 'action="/oidc/begin"' in client.post("/join", data={"code": code}).text
    leaving = client.post("/oidc/begin", data={"code": code})
    (start,) = re.findall(r'content="0;url=(/oidc/login\?go=[\w-]+)"', leaving.text)
    assert come(client, "ada", start).status_code == 303
    assert role_of(accounts(entrance_home)["ada"], entrance_home.project_id) is Role.LEAD
    assert "was used" in client.post("/join", data={"code": code}).text


def test_an_account_with_a_password_is_linked_by_who_is_signed_in_to_it(
    set_up: Callable[..., TestClient], entrance_home: Home
) -> None:
    entrance_home.account("ada")
    client = set_up()
    client.post("/login", data={"name": "ada", "password": PASSWORD})
    token = client.cookies[COOKIE]
    leaving = client.post("/oidc/begin", data={"link": "1"})
    (start,) = re.findall(r'url=(/oidc/login\?go=[\w-]+)"', leaving.text)
    # Whoever only has the address, without the form before it, links nothing.
    assert "ask for an invitation" in come(client, "bob").text
    leaving = client.post("/oidc/begin", data={"link": "1"})
    (start,) = re.findall(r'url=(/oidc/login\?go=[\w-]+)"', leaving.text)
    answer = come(client, "ada", start)
    assert answer.headers["location"] == "/account" and client.cookies[COOKIE] == token
    other = set_up()
    assert come(other, "ada").status_code == 303
    assert list(accounts(entrance_home)) == ["ada"]


def test_groups_give_the_role_and_take_it(
    set_up: Callable[..., TestClient], entrance_home: Home
) -> None:
    add_account(entrance_home.engine, "root", role=Role.ADMIN)
    follow = {"new_accounts": True, "role_claim": "realm.groups"}
    come(set_up(**follow, roles={"rlhf-leads": "lead", "raters": "annotator"}), "ada")
    assert accounts(entrance_home)["ada"].role is Role.LEAD
    come(set_up(**follow, roles={"raters": "admin"}), "ada")
    assert accounts(entrance_home)["ada"].role is Role.ADMIN
    with writing(entrance_home.engine) as session:
        root = session.exec(select(Account).where(Account.name == "root")).one()
        switch_off(session, account=root, by=None)
    come(set_up(**follow, roles={"nobody has it": "lead"}), "ada")
    assert accounts(entrance_home)["ada"].role is Role.ADMIN, "the last admin stays one"
    add_account(entrance_home.engine, "second", role=Role.ADMIN)
    come(set_up(**follow, roles={"nobody has it": "lead"}), "ada")
    assert accounts(entrance_home)["ada"].role is Role.ANNOTATOR


def test_an_account_that_is_off_stays_out(
    set_up: Callable[..., TestClient], entrance_home: Home
) -> None:
    client = set_up(new_accounts=True)
    come(client, "ada")
    with writing(entrance_home.engine) as session:
        switch_off(session, account=accounts(entrance_home)["ada"], by=None)
    assert "switched off" in come(set_up(new_accounts=True), "ada").text


def test_forged_and_declined_answers_let_nobody_in(
    set_up: Callable[..., TestClient], entrance_home: Home
) -> None:
    client = set_up(new_accounts=True)
    leaving = client.get("/oidc/login").headers["location"]
    back = agreed(leaving, person="ada")
    for path in (
        "/oidc/callback", "/oidc/callback?code=x&state=y",
        back.replace("state=", "state=x"), "/oidc/callback?error=<script>alert(1)</script>",
    ):  # fmt: skip
        # A callback that fails ends the flow: each of them has one of its own.
        client.get("/oidc/login")
        answer = client.get(path)
        assert answer.status_code == 403 and "did not work" in answer.text
        assert "<script" not in answer.text
    assert client_of().get(back).status_code == 403, "another browser has no such flow"
    assert come(client, None).status_code == 403
    assert accounts(entrance_home) == {} and COOKIE not in client.cookies


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metadata_url": "http://idp.example/x"}, "no https address"),
        ({"client_secret_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE"),
    ],
)
def test_settings_that_cannot_work_are_said(
    set_up: Callable[..., TestClient], entrance_home: Home, change: dict[str, str], said: str
) -> None:
    set_up()
    settings = process.settings()
    oidc = settings.oidc.model_copy(update=change)
    process.configure(settings.model_copy(update={"oidc": oidc}))
    assert said in client_of().get("/oidc/login").text


def test_without_a_provider_there_is_no_such_way(client: TestClient) -> None:
    assert client.get("/oidc/login").status_code == 404
    assert "Continue with" not in client.get("/login").text
