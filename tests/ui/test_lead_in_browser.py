"""A lead in a real browser: from a figure to its judgments to the review of their task."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from storage.tables import Role
from tests.ui.conftest import PASSWORD, Home, Server
from tests.ui.quality.test_quality_pages import judge
from tests.ui.ranking.test_rank_reading import WCAG

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def judged(module_home: Home) -> Home:
    judge(module_home)
    module_home.account("lena", Role.LEAD)
    return module_home


@pytest.fixture
def page(browser: Browser, server: Server, judged: Home) -> Iterator[Page]:
    with closing(browser.new_context(viewport={"width": 1440, "height": 1400})) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{server.url}/login")
        page.fill("#name", "lena")
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(f"{server.url}/")
        yield page


def test_from_a_figure_to_its_judgments_to_their_task(
    page: Page, server: Server, judged: Home
) -> None:
    page.get_by_role("heading", name="Overview").wait_for()
    page.get_by_role("link", name="Open Rounds").first.wait_for()
    page.goto(f"{server.url}/agreement")
    table = page.get_by_test_id("stDataFrame").nth(1)
    table.locator("canvas").first.wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").nth(1).click()
    text = download.value.path().read_text()
    assert text.startswith("group,value,low,high,n,of,judgments,tasks") and "version 1" in text
    # The box at the left end of the first row, under the header.
    table.click(position={"x": 15, "y": 52})
    page.wait_for_url(f"{server.url}/all-judgments?version=1&shared=1")
    page.get_by_text("16 judgments, newest first").wait_for()
    page.get_by_text("Only judgments of tasks judged by two or more.").wait_for()
    assert page.evaluate("window.hacked") is None
    page.get_by_role("link", name="on the page Review").click()
    page.get_by_text("This task no longer waits for a lead.").wait_for()
    page.get_by_text("What annotators said").wait_for()
    assert page.locator("img[src='http://attack.invalid/a.png']").count() == 0


def test_both_names_of_the_first_page_lead_there(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/overview")
    page.get_by_role("heading", name="Overview").wait_for()
    assert page.get_by_text("Page not found").count() == 0


def test_every_column_of_the_annotators_is_in_the_window(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/annotators")
    table = page.get_by_test_id("stDataFrame").first
    table.locator("canvas").first.wait_for()
    inside, wide = table.locator(".dvn-scroller").evaluate("it => [it.clientWidth, it.scrollWidth]")
    assert inside > 1000 and wide <= inside


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_pages(page: Page, server: Server, scheme: str) -> None:
    """WCAG 2.2 AA; the ranking component has a test of its own."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    # Chromium and Firefox let the keyboard into what scrolls; Streamlit cannot be told to.
    scrolling = {"scrollable-region-focusable": {"enabled": False}}
    options: dict[str, Any] = {"runOnly": {"type": "tag", "values": WCAG}, "rules": scrolling}
    found = []
    for path in ("", "throughput", "all-judgments", "guidelines", "rounds", "account", "judgments"):
        page.goto(f"{server.url}/{path}")
        page.get_by_role("heading", level=1).first.wait_for()
        page.locator("[data-test-script-state=notRunning]").wait_for()
        told = Axe().run(page, options=options).response
        assert told["passes"], "axe looked at something"
        found += [f"{path}: {each['id']}: {node['html']}" for each in told["violations"]
                  for node in each["nodes"]]  # fmt: skip
    assert found == []
