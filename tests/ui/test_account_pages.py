"""Your account and Accounts, run by Streamlit's AppTest on a database of their own."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import col, select
from streamlit.testing.v1 import AppTest

from labeling.people.access_tokens import account_of_secret
from labeling.people.failed_sign_ins import FAILED, FREE_OF_NAME, seconds_to_wait
from labeling.people.invitations import accept, invitations
from labeling.people.sign_ins import Browser, account_of_token, open_sign_in
from storage.engine import reading, writing
from storage.tables import Account, Event, Role
from tests.sample_rows import add_account
from tests.ui.conftest import PASSWORD, Home
from tests.ui.small_home import small_home
from ui import process, session
from ui.languages import words_for
from ui.people.browser_names import browser_name

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOSTILE = '<img src=x onerror="window.hacked=1"> ![x](http://attack.invalid/a.png)'


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Iterator[Home]:
    made = small_home(tmp_path / "home", sqlite_template)
    process.configure(made.settings)
    yield made
    made.engine.dispose()


def be(home: Home, monkeypatch: pytest.MonkeyPatch, account: Account) -> str:
    """Be signed in as an account; return the token of that sign-in."""
    with writing(home.engine) as rows:
        browser = Browser("192.0.2.1", FIREFOX)
        token = open_sign_in(rows, account_id=account.id or 0, hours=1, browser=browser)

    def current() -> Account | None:
        with reading(home.engine) as rows:
            return account_of_token(rows, token=token)

    monkeypatch.setattr(session, "current_account", current)
    monkeypatch.setattr(session, "own_token", lambda: token)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))
    return token


def open_page(name: str) -> AppTest:
    def script(name: str) -> None:
        from importlib import import_module

        import_module(f"ui.views.{name}").show()

    page = AppTest.from_function(script, args=(name,), default_timeout=60).run()
    assert not page.exception, page.exception
    return page


def press(page: AppTest, label: str) -> AppTest:
    (button,) = [each for each in page.button if each.label == label]
    button.click().run()
    assert not page.exception, page.exception
    return page


def words_on(page: AppTest) -> str:
    return "\n".join(str(each.value) for each in [*page.markdown, *page.caption, *page.text])


def test_one_sees_and_ends_ones_other_sign_ins(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = add_account(home.engine, "ada")
    token = be(home, monkeypatch, ada)
    with writing(home.engine) as rows:
        others = [
            open_sign_in(
                rows, account_id=ada.id or 0, hours=1, browser=Browser("192.0.2.9", HOSTILE)
            )
            for _ in range(2)
        ]
    page = open_page("account")
    shown = words_on(page)
    assert "**Firefox, Linux** · this browser" in shown and "192\\.0\\.2\\.9" in shown
    assert not re.search(r"(?<!\\)[<!\[]", shown), "what a browser calls itself is text"
    first = next(each for each in page.button if each.label == "Sign out")
    first.click().run()
    assert [each.value for each in page.success] == ["One sign\\-in is closed\\."]
    assert _held(home, [token, *others]) == 2
    press(page, "Sign out everywhere else")
    assert _held(home, [token]) == 1 and _held(home, others) == 0


def _held(home: Home, tokens: list[str]) -> int:
    with reading(home.engine) as rows:
        return sum(account_of_token(rows, token=each) is not None for each in tokens)


def test_an_annotator_has_no_tokens_and_changes_the_password(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(home, monkeypatch, home.account("ada"))
    page = open_page("account")
    assert "Access tokens" not in [each.value for each in page.subheader]
    fields = {each.label: each for each in page.text_input}
    fields["Password now"].input(PASSWORD)
    fields["New password"].input("another password")
    fields["New password, once more"].input("another passw0rd")
    press(page, "Change password")
    assert "two passwords differ" in page.error[0].value
    for label, typed in (
        ("Password now", PASSWORD), ("New password", "another password"),
        ("New password, once more", "another password"),
    ):  # fmt: skip
        next(each for each in page.text_input if each.label == label).input(typed)
    press(page, "Change password")
    assert "The password is changed" in page.success[0].value


def test_who_finds_an_open_page_may_not_guess_the_password(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(home, monkeypatch, home.account("ada"))
    page = open_page("account")
    for attempt in range(FREE_OF_NAME + 1):
        for label, typed in (
            ("Password now", f"a guess {attempt}"), ("New password", "another password"),
            ("New password, once more", "another password"),
        ):  # fmt: skip
            next(each for each in page.text_input if each.label == label).input(typed)
        press(page, "Change password")
        said = "Too many attempts" if attempt == FREE_OF_NAME else "is another; type it again"
        assert said in page.error[0].value
    with reading(home.engine) as rows:
        failures = rows.exec(select(Event).where(Event.kind == FAILED)).all()
        assert [each.detail["place"] for each in failures] == ["your account"] * FREE_OF_NAME
        # They are those of the sign-in page, in every process: neither way is a way around.
        assert seconds_to_wait(rows, name="ada", browser=Browser("192.0.2.9")) > 0


def test_a_token_is_shown_once_and_revoked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    be(home, monkeypatch, add_account(home.engine, "lena", role=Role.LEAD))
    page = open_page("account")
    next(each for each in page.text_input if each.label == "What it is for").input("CI")
    press(page, "Make the token")
    secret = page.code[0].value
    with reading(home.engine) as rows:
        assert account_of_secret(rows, secret=secret) is not None
    page.run()
    assert not page.code
    press(page, "Revoke")
    with reading(home.engine) as rows:
        assert account_of_secret(rows, secret=secret) is None


def test_a_page_left_open_does_nothing_more_for_who_is_out(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = add_account(home.engine, "root", role=Role.ADMIN)
    be(home, monkeypatch, root)
    page = open_page("accounts")
    monkeypatch.setattr(session, "current_account", lambda: None)
    monkeypatch.setattr(session, "require_account", lambda: root)
    press(page, "Make a link")
    assert "Your sign\\-in has ended" in page.error[0].value
    with reading(home.engine) as rows:
        assert invitations(rows, by=None) == []


def test_an_admin_invites_changes_roles_and_switches_off(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_account(home.engine, "Ada")
    be(home, monkeypatch, add_account(home.engine, "root", role=Role.ADMIN))
    monkeypatch.setattr("ui.people.invitation_list.urlsplit", lambda text: _Here())
    page = open_page("accounts")
    assert "Ada" in page.dataframe[0].value.iloc[0].tolist()
    general = next(each for each in page.selectbox if each.label == "Role in general")
    general.select("engineer").run()
    assert "The role of Ada is changed" in page.success[0].value
    press(page, "Switch off")
    press(page, "Make a link")
    base, _, code = page.code[0].value.partition("#")
    assert base == "https://rank.example/join"
    with writing(home.engine) as rows:
        accept(rows, code=code, name="Bob", password=PASSWORD)
        ada = rows.exec(select(Account).where(Account.name == "Ada")).one()
        assert (ada.role, ada.active) == (Role.ENGINEER, False)
        assert rows.exec(select(Account.project_roles).where(Account.name == "Bob")).one() == {
            "*": "", "1": "annotator"
        }  # fmt: skip


class _Here:
    scheme, netloc = "https", "rank.example"


def test_the_last_admin_is_told_why_they_stay_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(home, monkeypatch, add_account(home.engine, "root", role=Role.ADMIN))
    page = press(open_page("accounts"), "Switch off")
    assert "is the last admin" in page.error[0].value
    with reading(home.engine) as rows:
        assert rows.exec(select(Account.active).where(col(Account.name) == "root")).one()


def test_a_lead_only_invites_annotators(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    be(home, monkeypatch, add_account(home.engine, "lena", role=Role.LEAD))
    page = open_page("accounts")
    assert not page.dataframe
    role = next(each for each in page.selectbox if each.label == "Role")
    assert (role.options, role.disabled) == (["annotator"], True)
    press(page, "Make a link")
    with reading(home.engine) as rows:
        (row,) = invitations(rows, by=None)
    assert (row.role, row.project, row.by) == ("annotator", "default", "lena")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (FIREFOX, "Firefox, Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/141.0 Safari/537.36 Edg/141.0",
         "Edge, Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
         "Safari, iPhone"),
        ("curl/8.5", "curl"), ("", ""), ("x" * 99, "x" * 40),
    ],
)  # fmt: skip
def test_a_browser_is_named(text: str, name: str) -> None:
    assert browser_name(text) == name
