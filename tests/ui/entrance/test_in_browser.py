"""A link and a provider as a person meets them: a real server, a real browser, a real provider."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from labeling.people.invitations import invite
from storage.engine import reading, writing
from storage.tables import Account, Project, Role
from tests.ui.conftest import PASSWORD, Home, Server, running_server
from tests.ui.entrance.provider_stage import running_provider
from tests.ui.small_home import small_home
from ui.cookie import COOKIE
from ui.entrance.provider_sign_out import HINT_COOKIE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def oidc_home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Home]:
    made = small_home(tmp_path_factory.mktemp("oidc") / "home", sqlite_template)
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def oidc_server(oidc_home: Home) -> Iterator[Server]:
    with running_provider() as url:
        values = {
            "RANKLOOP_OIDC__CLIENT_ID": "rankloop",
            "RANKLOOP_OIDC__NAME": "Example",
            "RANKLOOP_OIDC__METADATA_URL": f"{url}/.well-known/openid-configuration",
            "RANKLOOP_OIDC_SECRET": "made by the provider",
        }
        with running_server(oidc_home.path, **values) as server:
            yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(locale="en-GB") as context:
        yield context.new_page()


def agree(page: Page, person: str) -> None:
    page.wait_for_url(re.compile(r"//localhost:\d+/oauth2/authorize"))
    page.get_by_role("button", name=person, exact=True).click()


def code_of(home: Home, role: Role) -> str:
    with writing(home.engine) as rows:
        project = rows.get_one(Project, home.project_id)
        return invite(rows, role=role, hours=1, by=None, project=project)[1]


def names(home: Home) -> dict[str, str | None]:
    with reading(home.engine) as rows:
        return {each.name: each.oidc_subject for each in rows.exec(select(Account))}


def test_a_link_leaves_no_code_in_the_address_bar(
    oidc_server: Server, oidc_home: Home, page: Page
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    code = code_of(oidc_home, Role.LEAD)
    page.goto(f"{oidc_server.url}/join#{code}")
    page.get_by_label("Name").fill("Mia")
    assert page.url == f"{oidc_server.url}/join"
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password, once more").fill(PASSWORD)
    page.get_by_role("button", name="Save and sign in").click()
    expect(page.get_by_role("button", name="Mia")).to_be_visible()
    assert not any(code in url for url in asked)
    assert all(url.startswith((oidc_server.url, "data:", "blob:")) for url in asked)


def test_an_invited_person_comes_through_the_provider_and_again_from_the_sign_in_page(
    oidc_server: Server, oidc_home: Home, page: Page
) -> None:
    page.goto(f"{oidc_server.url}/join#{code_of(oidc_home, Role.ANNOTATOR)}")
    page.get_by_role("button", name="Continue with Example").click()
    agree(page, "ada")
    expect(page.get_by_role("button", name="ada")).to_be_visible()
    assert names(oidc_home)["ada"]
    page.context.clear_cookies()
    page.goto(f"{oidc_server.url}/judgments")
    page.get_by_role("link", name="Continue with Example").click()
    agree(page, "ada")
    page.wait_for_url(f"{oidc_server.url}/judgments")


def test_signing_out_ends_the_session_at_the_provider_and_comes_back(
    oidc_server: Server, oidc_home: Home, page: Page
) -> None:
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    page.goto(f"{oidc_server.url}/join#{code_of(oidc_home, Role.ANNOTATOR)}")
    page.get_by_role("button", name="Continue with Example").click()
    agree(page, "eve")
    page.get_by_role("button", name="eve").click()
    page.get_by_text("Sign out").click()
    page.wait_for_url(re.compile(r"//localhost:\d+/oauth2/end_session\?id_token_hint=ey"))
    kept = {each.get("name") for each in page.context.cookies(f"{oidc_server.url}/logout")}
    assert not kept & {COOKIE, HINT_COOKIE}
    page.get_by_role("button", name="End session").click()
    page.wait_for_url(f"{oidc_server.url}/login")
    assert not [said for said in refused if "Content Security Policy" in said]


def test_an_account_is_linked_from_its_page(
    oidc_server: Server, oidc_home: Home, page: Page
) -> None:
    oidc_home.account("robert")
    page.goto(f"{oidc_server.url}/login?next=/account")
    page.get_by_label("Name").fill("robert")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Link Example").click()
    agree(page, "bob")
    expect(page.get_by_text("You can sign in with Example.")).to_be_visible()
    assert str(names(oidc_home)["robert"]).endswith("#bob")
