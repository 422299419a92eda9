"""The sign-in page in one's language, and how a choice is kept."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.conftest import PASSWORD, Home, Server
from tests.ui.web.test_server import ask, sign_in
from ui.cookie import LANGUAGE_COOKIE
from ui.languages import FOLDER, languages, words_for

LANGUAGE_OF = {"zh-CN,zh;q=0.9": "zh", "en-GB": "en", "fr": "en"}


@pytest.mark.parametrize(("accepted", "code"), LANGUAGE_OF.items())
def test_the_sign_in_page_speaks_the_browsers_language(
    server: Server, accepted: str, code: str
) -> None:
    _, _, text = ask(server, "GET", "/login", Accept_Language=accepted)
    assert f'<html lang="{code}" dir="ltr">' in text
    assert words_for(None, code).say("sign_in.lead") in text


def test_a_choice_is_kept_in_a_cookie_and_comes_first(server: Server) -> None:
    _, headers, text = ask(server, "GET", "/login?language=zh&next=/rounds", Accept_Language="en")
    assert 'lang="zh"' in text
    assert 'value="/rounds"' in text
    cookie = headers["set-cookie"]
    assert cookie.startswith(f"{LANGUAGE_COOKIE}=zh;")
    _, _, later = ask(server, "GET", "/login", Accept_Language="en", Cookie=cookie.split(";")[0])
    assert words_for(None, "zh").say("sign_in.send") in later


@pytest.mark.parametrize("wanted", ["xx", "../en", '"><script>', "en.json", ""])
def test_a_language_that_is_not_there_is_no_choice(server: Server, wanted: str) -> None:
    status, headers, text = ask(server, "GET", f"/login?language={wanted}".replace('"', "%22"))
    assert status == 200
    assert "set-cookie" not in headers
    assert "<script>" not in text


def test_a_refusal_is_in_the_language_too(server: Server) -> None:
    said = words_for(None, "zh").say("sign_in.refused")
    _, _, text = sign_in(server, "nobody-chinese", "wrong")
    assert words_for(None, "en").say("sign_in.refused") in text
    _, _, text = ask(
        server, "POST", "/login", {"name": "nobody", "password": "wrong"}, Accept_Language="zh"
    )
    assert said in text


def test_the_page_itself_names_its_language(server: Server, module_home: Home) -> None:
    """A screen reader takes its voice from there, and a browser its Chinese letters."""
    module_home.account("lin")
    cookie = sign_in(server, "lin")[1]["set-cookie"].split(";")[0]
    html, chinese = "text/html,*/*", "zh-CN,zh;q=0.9"
    _, headers, english = ask(server, "GET", "/", Accept=html, Cookie=cookie)
    assert '<html lang="en"' in english
    for more in (
        {"Accept_Language": chinese},
        {"Cookie": f"{cookie}; {LANGUAGE_COOKIE}=zh"},
        # What the browser has from before, in English and packed, is not taken for it.
        {"Accept_Language": chinese, "If_None_Match": headers.get("etag", "x")},
        {"Accept_Language": chinese, "Accept_Encoding": "gzip"},
    ):
        sent = {"Accept": html, "Cookie": cookie, **more}
        status, told, page = ask(server, "GET", "/", None, **sent)
        assert (status, page) == (200, english.replace('lang="en"', 'lang="zh"', 1)), more
        assert "etag" not in told and "Accept-Language" in told["vary"]
        assert "content-security-policy" in told


def test_the_menu_changes_the_language_of_the_pages(
    server: Server, module_home: Home, browser: Browser
) -> None:
    module_home.account("mei")
    with browser.new_context(locale="zh-CN") as context:
        page = context.new_page()
        page.goto(f"{server.url}/")
        page.fill("#name", "mei")
        page.fill("#password", PASSWORD)
        page.get_by_role("button", name="登录").click()
        submit = page.locator(".submit")
        expect(submit).to_contain_text("提交", timeout=50_000)
        page.get_by_role("button", name="mei").click()
        page.get_by_text("English").click()
        expect(submit).to_contain_text("Submit", timeout=50_000)
        page.reload()
        expect(submit).to_contain_text("Submit", timeout=50_000)


def test_every_language_file_is_found() -> None:
    assert set(languages()) == {
        path.stem for path in Path(FOLDER).iterdir() if path.suffix == ".json"
    }
