"""What a lead has typed and not saved outlives a reload and the server, until it is saved."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from storage.tables import Role
from tests.ui.conftest import PASSWORD, Home, Server, free_port, running_server
from tests.ui.review.test_review_deeds import judge

PATIENCE_MS = 60_000
DRAFT = "# Guidelines\n\nRead both to the end. 两个都要读完"
KEPT = "() => Object.keys(localStorage).filter((name) => name.startsWith('rankloop:unsaved:'))"


@pytest.fixture(scope="module")
def led(module_home: Home) -> Home:
    """One task that two annotators judged the other way round, and two leads."""
    for name in ("lena", "lars"):
        module_home.account(name, Role.LEAD)
    for name, ranks in (("ann", [1, 2, 3, 4]), ("bob", [4, 3, 2, 1])):
        judge(module_home, module_home.account(name), ranks)
    return module_home


@pytest.fixture(scope="module")
def cached_context(browser: Browser) -> Iterator[BrowserContext]:
    """Keep one context, so that Streamlit's hundred files are fetched once."""
    with closing(browser.new_context(viewport={"width": 1440, "height": 900})) as made:
        made.set_default_timeout(PATIENCE_MS)
        yield made


@pytest.fixture
def context(cached_context: BrowserContext, server: Server) -> Iterator[BrowserContext]:
    """Give a context that is signed in as nobody and has kept nothing."""
    cached_context.clear_cookies()
    page = cached_context.new_page()
    page.goto(f"{server.url}/login")
    page.evaluate("localStorage.clear()")
    page.close()
    yield cached_context
    for page in cached_context.pages:
        page.close()


@pytest.fixture
def open_page(context: BrowserContext, server: Server, led: Home) -> Callable[..., Page]:
    def opened(path: str, name: str = "lena", at: str = server.url) -> Page:
        page = context.new_page()
        sign_in(page, at, name)
        page.goto(f"{at}/{path}")
        return page

    return opened


def sign_in(page: Page, url: str, name: str) -> None:
    page.goto(f"{url}/login")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(f"{url}/")


def editor(page: Page) -> None:
    page.get_by_role("tab", name="Edit").click()


def field(page: Page, label: str) -> Locator:
    return page.get_by_role("textbox", name=label)


def expect_text(page: Page, label: str, text: str) -> None:
    expect(field(page, label)).to_have_value(text, timeout=PATIENCE_MS)


def type_in(page: Page, label: str, text: str) -> None:
    """Type until it is kept, as people do: the component comes a moment after the field."""
    kept = f"() => ({KEPT})().length > {len(page.evaluate(KEPT))}"
    for _ in range(30):
        field(page, label).fill(text)
        with suppress(PlaywrightTimeout):
            page.wait_for_function(kept, timeout=1000)
            return
    raise AssertionError("what is typed is not kept")


def rank(page: Page, letter: str, value: int) -> None:
    group = page.get_by_role("radiogroup", name=f"Rank of {letter}")
    group.get_by_text(str(value), exact=True).click()


def test_guidelines_are_there_after_a_reload_until_they_are_published(
    open_page: Callable[..., Page],
) -> None:
    draft = f"{DRAFT} {uuid4()}"  # a second try finds the first one's published
    page = open_page("guidelines")
    editor(page)
    type_in(page, "What is new, for annotators", "Both to the end")
    # Not left: Streamlit has heard nothing of it.
    field(page, "Text in Markdown").fill(draft)
    page.reload()
    editor(page)
    expect_text(page, "Text in Markdown", draft)
    expect_text(page, "What is new, for annotators", "Both to the end")
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("Published. Annotators").wait_for()
    page.wait_for_function(f"() => ({KEPT})().length === 0")
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("change it, then publish").wait_for()
    # Straight from the field: Streamlit hears of the text and of the click at once.
    draft = f"{DRAFT} {uuid4()}"
    field(page, "Text in Markdown").press_sequentially(" ")
    field(page, "Text in Markdown").fill(draft)
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("Published. Annotators").wait_for()
    page.wait_for_function(f"() => ({KEPT})().length === 0")
    field(page, "Text in Markdown").fill("something else")
    page.reload()
    editor(page)
    expect_text(page, "Text in Markdown", "something else")
    page.get_by_role("button", name="Discard my changes").click()
    expect_text(page, "Text in Markdown", draft)
    page.reload()
    editor(page)
    expect_text(page, "Text in Markdown", draft)


@pytest.mark.slow
def test_a_review_is_there_after_the_server_has_begun_anew(
    open_page: Callable[..., Page], led: Home
) -> None:
    port = free_port()
    with running_server(led.path, port=port) as first:
        page = open_page("review?task=1", at=first.url)
        rank(page, "B", 3)
        page.get_by_role("button", name="Send back").first.click()
        field(page, "What should they look at again?").fill("Read C once more.")
        page.keyboard.press("Escape")
        field(page, "Why (kept with the decision)").fill("Both overlook the second")
        expect(page.get_by_role("radio", name="3").nth(1)).to_be_checked()
        page.wait_for_function(f"() => ({KEPT})().length === 3")
        first.process.kill()
        first.process.wait()
    with running_server(led.path, port=port) as second:
        page.goto(f"{second.url}/review?task=1")
        expect_text(page, "Why (kept with the decision)", "Both overlook the second")
        expect(
            page.get_by_role("radiogroup", name="Rank of B").get_by_role("radio", name="3")
        ).to_be_checked()
        page.get_by_role("button", name="Send back").first.click()
        expect_text(page, "What should they look at again?", "Read C once more.")
        page.get_by_role("button", name="Send back to them").click()
        page.get_by_text("sent back, not judged again yet").wait_for()
        page.get_by_role("button", name="Keep as it is").click()
        page.get_by_text("Kept as it is.").first.wait_for()
        page.goto(f"{second.url}/review?task=1")
        expect_text(page, "Why (kept with the decision)", "")
        page.wait_for_function(f"() => ({KEPT})().length === 1")  # the rank: nothing took it


def test_a_click_on_a_link_right_after_typing_leaves_the_page_and_keeps_the_text(
    open_page: Callable[..., Page],
) -> None:
    page = open_page("review?task=1")
    why = field(page, "Why (kept with the decision)")
    why.wait_for()
    # The click comes while the browser is busy with the field that is left: it then comes before
    # Streamlit's own timer, which sends the text.
    page.evaluate(
        """() => document.addEventListener("focusout", () => {
          const end = performance.now() + 150;
          while (performance.now() < end);
        })"""
    )
    for number in range(4):
        why.fill(f"typed at once, {number}")
        box = page.get_by_role("link", name="Guidelines").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(page.get_by_role("heading", name="Guidelines").first).to_be_visible(timeout=10_000)
        page.get_by_role("link", name="Review", exact=True).click()
        expect_text(page, "Why (kept with the decision)", f"typed at once, {number}")


def test_the_reason_of_a_withdrawal_is_there_after_a_reload(open_page: Callable[..., Page]) -> None:
    page = open_page("withdrawals")

    def look() -> None:
        page.get_by_role("combobox").first.click()
        page.get_by_role("option", name="ann").click()
        page.get_by_role("button", name="See what it touches").click()

    look()
    field(page, "Reason").fill("Clicked through")
    page.reload()
    look()
    expect_text(page, "Reason", "Clicked through")


def test_a_sign_out_asks_and_leaves_nothing_for_the_next_person(
    open_page: Callable[..., Page], server: Server
) -> None:
    page = open_page("guidelines")
    editor(page)
    type_in(page, "Text in Markdown", "what lena thinks of them")
    page.evaluate("localStorage.setItem('rankloop:unsaved:9999:1:unsaved-guidelines', '{}')")
    page.goto(f"{server.url}/sign-out")
    page.get_by_text("typed something that is not saved yet").wait_for()
    page.get_by_role("button", name="Stay").click()
    page.wait_for_url(f"{server.url}/")
    page.goto(f"{server.url}/guidelines")
    editor(page)
    expect_text(page, "Text in Markdown", "what lena thinks of them")
    page.get_by_role("button", name="lena").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.get_by_role("button", name="Delete it and sign out").click()
    page.wait_for_url(f"{server.url}/login**")
    left = page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))")
    assert [name for name in left if name.startswith("rankloop:")] == [
        "rankloop:unsaved:9999:1:unsaved-guidelines"
    ]


def test_another_account_in_the_same_browser_sees_nothing_of_it(
    open_page: Callable[..., Page], context: BrowserContext
) -> None:
    page = open_page("guidelines")
    editor(page)
    type_in(page, "Text in Markdown", "what lena thinks of them")
    # The sign-in has expired: nobody signed out.
    context.clear_cookies()
    other = open_page("guidelines", name="lars")
    editor(other)
    expect(field(other, "Text in Markdown")).to_be_visible()
    other.wait_for_timeout(1500)
    assert "lena" not in field(other, "Text in Markdown").input_value()
    context.clear_cookies()
    again = open_page("guidelines")
    editor(again)
    expect_text(again, "Text in Markdown", "what lena thinks of them")
