"""Hostile texts on every page, in a real browser: shown as text, and nothing else happens."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.hostile_texts import LONG_LINE, STORABLE
from tests.ui.conftest import PASSWORD, Home, Server, running_server
from tests.ui.hostile_stage import (
    COMPLETIONS,
    LEAD,
    NAMES,
    Watch,
    hostile_home,
    publish_hostile_guidelines,
)
from tests.ui.ranking.ranking_stage import ADDRESS, Stage, context_for, open_stage, task

PATIENCE_MS = 60_000
# What is seen on each page, so that a page which shows nothing does not pass.
PAGES = {
    "judgments": "window.hacked",
    "all-judgments": "<script>",
    "review": "<script>",
    "rounds": "<script>",
    "annotators": "Position bias",
    "webhooks": "window.hacked",
    "accounts": "onerror",
}
MORE_PAGES = {
    "overview": "Judgments",
    "agreement": "Krippendorff",
    "throughput": "Active time",
    "export": "Format",
    "withdrawals": "Withdraw",
    "known-answers": "Known answers",
    "settings": "Settings",
    "account": "onerror",
    "audit": "onerror",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Home]:
    made = hostile_home(tmp_path_factory.mktemp("hostile") / "data", sqlite_template)
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def server(hostile: Home) -> Iterator[Server]:
    with running_server(hostile.path, RANKLOOP_PROJECT=LEAD) as running:
        yield running


@pytest.fixture(scope="module")
def lead(browser: Browser, server: Server) -> Iterator[tuple[Page, Watch]]:
    yield from signed_in(browser, server, LEAD)


def signed_in(browser: Browser, server: Server, name: str) -> Iterator[tuple[Page, Watch]]:
    context = browser.new_context(viewport={"width": 1440, "height": 1400})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    watch = Watch(page, server.url)
    page.goto(f"{server.url}/login")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(f"{server.url}/")
    yield page, watch
    context.close()


def expect_page(lead: tuple[Page, Watch], server: Server, name: str, seen: str) -> None:
    page, watch = lead
    page.goto(f"{server.url}/{name}")
    page.get_by_text(seen).first.wait_for(state="attached")
    page.locator("[data-testid=stStatusWidget]").wait_for(state="detached")
    for one in page.locator("[data-testid=stExpander] summary").all()[:4]:
        one.click()
    page.wait_for_timeout(300)
    watch.expect_nothing()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_hostile_texts_as_text(
    lead: tuple[Page, Watch], server: Server, name: str
) -> None:
    expect_page(lead, server, name, PAGES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_PAGES)
def test_every_other_page_too(lead: tuple[Page, Watch], server: Server, name: str) -> None:
    expect_page(lead, server, name, MORE_PAGES[name])


def test_an_annotator_reads_them_as_they_are(browser: Browser, server: Server) -> None:
    for page, watch in signed_in(browser, server, NAMES[4]):
        page.locator(".ranking .card").nth(8).wait_for()
        shown = [
            one.evaluate("one => one.querySelector('.text').textContent")
            for one in page.locator(".ranking .card").all()
        ]
        assert any("<script>window.hacked=1</script>" in one for one in shown)
        watch.expect_nothing()


def test_guidelines_fetch_and_run_nothing(
    lead: tuple[Page, Watch], server: Server, hostile: Home
) -> None:
    publish_hostile_guidelines(hostile)
    page, watch = lead
    page.goto(f"{server.url}/guidelines")
    page.get_by_text("onerror").first.wait_for(state="attached")
    watch.expect_nothing(markdown=True)


@pytest.fixture(scope="module")
def stage(browser: Browser) -> Iterator[tuple[Stage, Watch]]:
    context = context_for(browser)
    made = open_stage(context)
    yield made, Watch(made.page, ADDRESS.rstrip("/"))
    context.close()


@pytest.mark.parametrize("layout", ["side-by-side", "stacked", "focus"])
def test_every_layout_shows_every_text(stage: tuple[Stage, Watch], layout: str) -> None:
    made, watch = stage
    texts = [one.text for one in STORABLE if len(one.text) < 4000]
    for start in range(0, len(texts), 9):
        some = texts[start : start + 9]
        made.show(
            task(some, serial=f"{layout}-{start}", layout=layout, messages=[
                {"role": "user", "content": "\n".join(some)}
            ], feedback=some[0], news=None)
        )  # fmt: skip
        made.press("l")
    watch.wrong = [one for one in watch.wrong if "unsafe-inline" not in one]
    watch.expect_nothing()


@pytest.mark.slow
@pytest.mark.parametrize("one", STORABLE, ids=lambda one: one.name)
def test_each_text_alone(stage: tuple[Stage, Watch], one: object) -> None:
    made, watch = stage
    text = one.text  # type: ignore[attr-defined]
    made.show(task([text, "other"], serial=str(one), messages=[{"role": "user", "content": text}]))
    card = made.card(0)
    assert text.strip()[:200] in card.evaluate("one => one.textContent") or "\r" in text
    watch.expect_nothing()


@pytest.mark.slow
def test_ten_megabytes_on_one_line_are_shown_in_time(stage: tuple[Stage, Watch]) -> None:
    made, watch = stage
    made.show(task([LONG_LINE.text, "other"], serial="long"))
    made.card(1).wait_for()
    assert len(COMPLETIONS) == 27
    watch.expect_nothing()
