"""Signing out at the provider, as far as this server's answers go; a browser does it for real."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from starlette.testclient import TestClient

from labeling.accounts import open_sign_in
from storage.account_settings import OidcSettings
from storage.engine import writing
from storage.tables import SignInWay
from tests.postgres_cluster import free_port
from tests.ui.conftest import PASSWORD, Home
from tests.ui.entrance.conftest import client_of
from tests.ui.entrance.provider_stage import agreed, query_of, running_provider
from ui import process
from ui.cookie import COOKIE
from ui.entrance.provider_sign_out import HINT_COOKIE, LONGEST_HINT, PATH

SetUp = Callable[..., TestClient]


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with running_provider() as url:
        yield url


@pytest.fixture
def set_up(entrance_home: Home, monkeypatch: pytest.MonkeyPatch) -> SetUp:
    """Return a client of a server that knows a provider at this address."""
    monkeypatch.setenv("RANKLOOP_OIDC_SECRET", "a secret")

    def build(url: str, **values: Any) -> TestClient:
        oidc = OidcSettings(
            metadata_url=f"{url}/.well-known/openid-configuration", client_id="rankloop",
            name="Example", new_accounts=True, **values,
        )  # fmt: skip
        process.configure(entrance_home.settings.model_copy(update={"oidc": oidc}))
        return client_of()

    return build


@contextmanager
def announcing(**metadata: str) -> Iterator[str]:
    """Run a server whose metadata says no more than this."""

    class Metadata(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"issuer": "here", **metadata}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Metadata)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def come(client: TestClient, person: str) -> str:
    leaving = client.get("/oidc/login").headers["location"]
    return str(client.get(agreed(leaving, person=person)).headers["set-cookie"])


def leads_to(answer: Any) -> str:
    """Return where a page goes on to by itself."""
    assert answer.status_code == 200, answer.text
    (found,) = re.findall(r'http-equiv="refresh" content="0;url=([^"]*)"', answer.text)
    return unescape(found)


def subject_of(id_token: str) -> str:
    body = id_token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["sub"])


def signed_in_by(home: Home, client: TestClient, way: SignInWay, name: str = "ada") -> None:
    account = home.account(name)
    with writing(home.engine) as session:
        token = open_sign_in(session, account_id=account.id or 0, hours=1, way=way)
    client.cookies.set(COOKIE, token)


def test_it_leads_on_to_the_provider_with_whose_session_ends(set_up: SetUp, provider: str) -> None:
    client = set_up(provider)
    cookie = next(each for each in come(client, "ada").split(", ") if HINT_COOKIE in each)
    assert {"HttpOnly", "SameSite=strict", f"Path={PATH}"} <= set(cookie.split("; "))
    answer = client.post("/logout")
    there = leads_to(answer)
    assert there.startswith(f"{provider}/oauth2/end_session?")
    asked = query_of(there)
    assert subject_of(asked.pop("id_token_hint")) == "ada"
    assert asked == {
        "client_id": "rankloop", "post_logout_redirect_uri": "http://testserver/login",
    }  # fmt: skip
    assert "form-action 'self'" in answer.headers["content-security-policy"]
    assert not {COOKIE, HINT_COOKIE} & set(client.cookies)
    assert client.get("/").status_code == 303
    # Once out, one is out: the form leads nowhere but here.
    assert client.post("/logout").headers["location"] == "/login"


def test_by_setting_only_our_own_sign_in_ends(set_up: SetUp, provider: str) -> None:
    client = set_up(provider, sign_out_there=False)
    assert HINT_COOKIE not in come(client, "ada")
    answer = client.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_a_password_ends_no_session_at_the_provider(
    set_up: SetUp, provider: str, entrance_home: Home
) -> None:
    client = set_up(provider)
    come(client, "ada")
    entrance_home.account("bob")
    client.cookies.delete(COOKIE)
    client.post("/login", data={"name": "bob", "password": PASSWORD})
    assert HINT_COOKIE in client.cookies, "of ada, whose browser this was"
    assert client.post("/logout").headers["location"] == "/login"
    assert HINT_COOKIE not in client.cookies


def test_the_hint_of_another_sign_in_is_not_sent(
    set_up: SetUp, provider: str, entrance_home: Home
) -> None:
    client = set_up(provider)
    come(client, "ada")
    client.cookies.delete(COOKIE)
    signed_in_by(entrance_home, client, SignInWay.OIDC, "eve")
    assert "id_token_hint" not in query_of(leads_to(client.post("/logout")))


def test_an_id_token_too_long_for_a_cookie_is_left_out(
    set_up: SetUp, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.entrance.provider_sign_out.LONGEST_HINT", 100)
    assert LONGEST_HINT + len(HINT_COOKIE) + 17 < 4096
    client = set_up(provider)
    assert HINT_COOKIE not in come(client, "ada")
    assert set(query_of(leads_to(client.post("/logout")))) == {
        "client_id", "post_logout_redirect_uri",
    }  # fmt: skip


@pytest.mark.parametrize(
    "metadata", [{}, {"end_session_endpoint": "http://idp.example/out"}], ids=["none", "no TLS"]
)
def test_a_provider_without_such_an_address_is_left_alone(
    set_up: SetUp, entrance_home: Home, metadata: dict[str, str]
) -> None:
    with announcing(**metadata) as url:
        client = set_up(url)
        signed_in_by(entrance_home, client, SignInWay.OIDC)
        assert client.post("/logout").headers["location"] == "/login"


def test_an_address_that_has_a_query_keeps_it(set_up: SetUp, entrance_home: Home) -> None:
    with announcing(end_session_endpoint="https://idp.example/out?tenant=7") as url:
        client = set_up(url, redirect_url="https://rank.example.org/oidc/callback")
        signed_in_by(entrance_home, client, SignInWay.OIDC)
        asked = query_of(leads_to(client.post("/logout")))
    assert asked == {
        "tenant": "7", "client_id": "rankloop",
        "post_logout_redirect_uri": "https://rank.example.org/login",
    }  # fmt: skip


def test_a_provider_that_is_down_keeps_nobody_in(set_up: SetUp, entrance_home: Home) -> None:
    client = set_up(f"http://127.0.0.1:{free_port()}")
    signed_in_by(entrance_home, client, SignInWay.OIDC)
    assert client.post("/logout").headers["location"] == "/login"
    client.cookies.clear()
    assert client.get("/").status_code == 303
