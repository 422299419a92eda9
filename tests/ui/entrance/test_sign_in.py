from collections.abc import Iterable

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from labeling.people.failed_sign_ins import FREE_OF_ADDRESS
from storage.engine import reading
from storage.tables import Event, SignIn
from tests.ui.conftest import PASSWORD, Home
from tests.ui.entrance.conftest import client_of
from ui.cookie import COOKIE, KNOWN_COOKIE


def attempt(client: TestClient, name: str, password: str = PASSWORD, **headers: str) -> int:
    fields = {"name": name, "password": password}
    return client.post("/login", data=fields, headers=headers).status_code


def attributes(answer: Iterable[str], name: str = COOKIE) -> dict[str, str]:
    (cookie,) = [each for each in answer if each.startswith(f"{name}=")]
    parts = (each.partition("=") for each in cookie.split("; ")[1:])
    return {name.lower(): value for name, _, value in parts}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_each_attribute_of_the_cookie(client: TestClient, entrance_home: Home, scheme: str) -> None:
    entrance_home.account("ada")
    answer = client.post(
        "/login", data={"name": "ada", "password": PASSWORD},
        headers={"x-forwarded-proto": scheme},
    )  # fmt: skip
    found = attributes(answer.headers.get_list("set-cookie"))
    secure = {"secure": ""} if scheme == "https" else {}
    assert found == {
        "httponly": "", "samesite": "lax", "path": "/", "max-age": "2592000", **secure
    }  # fmt: skip


def test_the_database_holds_the_tokens_hash_and_where_it_came_from(
    client: TestClient, entrance_home: Home
) -> None:
    entrance_home.account("ada")
    attempt(client, "ada", **{"user-agent": "Firefox/140"})
    token = client.cookies[COOKIE]
    assert len(token) >= 43
    with reading(entrance_home.engine) as session:
        row = session.exec(select(SignIn)).one()
        event = session.exec(select(Event).where(Event.kind == "sign_in.opened")).one()
    assert token not in str(row)
    assert (row.address, row.user_agent, str(row.way)) == ("192.0.2.7", "Firefox/140", "password")
    assert (event.detail, event.personal) == ({"way": "password"}, {"address": "192.0.2.7"})


def test_who_does_not_come_through_a_proxy_cannot_say_who_they_are(entrance_home: Home) -> None:
    entrance_home.account("ada")
    client = client_of("203.0.113.9")
    client._transport.client = ("198.51.100.4", 5000)  # type: ignore[attr-defined]
    attempt(client, "ada")
    with reading(entrance_home.engine) as session:
        assert session.exec(select(SignIn.address)).one() == "198.51.100.4"


def test_guessing_one_name_is_slowed_down_from_any_address_and_in_any_process(
    entrance_home: Home,
) -> None:
    entrance_home.account("ada")
    addresses = [f"192.0.2.{number}" for number in range(6)]
    # What is counted is in the database: a client is as good as a process.
    statuses = [attempt(client_of(each), "ada", "not this one") for each in addresses]
    assert statuses == [401] * 5 + [429]
    assert attempt(client_of("192.0.2.9"), "ada") == 429


def test_a_browser_that_was_signed_in_before_is_not_kept_out_by_strangers(
    entrance_home: Home,
) -> None:
    entrance_home.account("ada")
    entrance_home.account("eve")
    known, of_another = client_of(), client_of()
    assert attempt(known, "ada") == attempt(of_another, "eve") == 303
    assert known.post("/logout").status_code == 303 and COOKIE not in known.cookies
    for number in range(6):
        attempt(client_of(f"192.0.2.{number}"), "ada", "not this one")
    assert attempt(client_of(), "ada") == attempt(of_another, "ada") == 429
    # Its own failures count, and its token opens nothing.
    assert known.get("/").status_code == 303
    assert attempt(known, "ada", "a slip") == 401
    assert attempt(known, "ada") == 303
    statuses = [attempt(known, "ada", "not this one") for _ in range(6)]
    assert statuses == [401] * 5 + [429]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_a_browser_is_known_by_is_for_the_sign_in_page_alone(
    client: TestClient, entrance_home: Home, scheme: str
) -> None:
    entrance_home.account("ada")
    answer = client.post(
        "/login", data={"name": "ada", "password": PASSWORD},
        headers={"x-forwarded-proto": scheme},
    )  # fmt: skip
    found = attributes(answer.headers.get_list("set-cookie"), KNOWN_COOKIE)
    secure = {"secure": ""} if scheme == "https" else {}
    assert found == {
        "httponly": "", "samesite": "strict", "path": "/login", "max-age": "7776000", **secure
    }  # fmt: skip


@pytest.mark.slow
def test_guessing_many_names_is_slowed_down_by_the_address(entrance_home: Home) -> None:
    client = client_of()
    statuses = [attempt(client, f"name {n}", "not this one") for n in range(FREE_OF_ADDRESS + 1)]
    assert statuses == [401] * FREE_OF_ADDRESS + [429]
    assert attempt(client_of("192.0.2.200"), "another", "not this one") == 401


def test_signing_out_takes_cookie_and_sign_in(client: TestClient, entrance_home: Home) -> None:
    entrance_home.account("ada")
    attempt(client, "ada")
    token = client.cookies[COOKIE]
    assert client.get("/").text == "inside"
    answer = client.post("/logout")
    assert attributes(answer.headers.get_list("set-cookie"))["max-age"] == "0"
    client.cookies.set(COOKIE, token)
    assert client.get("/").status_code == 303
