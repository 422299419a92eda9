"""What the first page loads was fetched while its reader typed, in a real browser."""

from typing import Any

from playwright.sync_api import Browser

from tests.ui.conftest import PASSWORD, Home, Server
from tests.ui.ranking.ranking_page import PATIENCE_MS, cards
from ui.entrance import fetched_ahead
from ui.web.script_files import served_files


def test_the_paths_are_files_that_streamlit_serves() -> None:
    paths = fetched_ahead.paths()
    assert len(paths) == len(set(paths)) > 20
    assert set(paths) <= set(served_files())
    for name in ("index", "protobuf", *fetched_ahead.ALSO):
        assert any(path.startswith(f"/static/js/{name}.") for path in paths), name


def test_the_first_task_takes_its_scripts_from_what_was_fetched_ahead(
    browser: Browser, server: Server, module_home: Home
) -> None:
    module_home.account("early")
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{server.url}/login", wait_until="networkidle")
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    kept, fetched = set(), {}

    def answered(told: dict[str, Any]) -> None:
        answer = told["response"]
        if "/static/js/" in answer["url"]:
            fetched[told["requestId"]] = answer["url"].rpartition("/")[2]
            if answer.get("fromDiskCache") or answer.get("fromPrefetchCache"):
                kept.add(told["requestId"])

    network.on("Network.responseReceived", answered)
    network.on("Network.requestServedFromCache", lambda told: kept.add(told["requestId"]))
    page.fill("#name", "early")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    cards(page).nth(1).wait_for()
    context.close()
    assert len(fetched) > 20
    assert [name for key, name in fetched.items() if key not in kept] == []
