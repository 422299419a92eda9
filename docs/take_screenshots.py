"""Take the screenshots of the README and of the leads' pages from a running Rankloop.

NAME is an admin, who sees every page. Launch:
python -m docs.take_screenshots http://localhost:8501 NAME PASSWORD [FOLDER]
"""

import argparse
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.chromium import find_chromium

PAGES = {
    "rank": "",  # an admin's first page
    "overview": "overview",
    "agreement": "agreement",
    "annotators": "annotators",
    "judgments": "all-judgments",
    "throughput": "throughput",
    "review": "review",
    "rounds": "rounds",
    "export": "export",
    "withdrawals": "withdrawals",
    "webhooks": "webhooks",
    "guidelines": "guidelines",
    "settings": "settings",
    "accounts": "accounts",
    "audit": "audit",
    "account": "account",
}
SHORT_PAGES = ("rank", "review")
#: pixels; what is below on a longer page is not in the picture
LONGEST = 4000
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
SETTLE_MS = 2500
#: a busy machine may take longer to draw a page than a person would wait
PATIENCE_MS = 120_000
#: the page while no script of it runs
STILL = "[data-test-script-state=notRunning]"
FOLDER = Path(__file__).parent / "screenshots"


def main() -> None:
    """Write one PNG for each page, size and colour scheme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("name")
    parser.add_argument("password")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(__file__).parent / "screenshots"
    )
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for size in SIZES:
            for scheme in ("light", "dark"):
                take(browser, given, size, scheme)
        browser.close()


def take(browser: Browser, given: argparse.Namespace, size: str, scheme: str) -> None:
    """Sign in once and go through the pages."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=size == "phone",
        is_mobile=size == "phone",
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{given.url}/")
    page.screenshot(path=given.folder / f"login-{size}-{scheme}.png")
    page.fill("#name", given.name)
    page.fill("#password", given.password)
    page.click("button[type=submit]")
    page.locator("[data-testid=stMainBlockContainer]").wait_for()
    for name, path in PAGES.items():
        page.goto(f"{given.url}/{path}")
        settle(page, name)
        if name not in SHORT_PAGES:
            make_room(page, width, height)
        page.screenshot(path=given.folder / f"{name}-{size}-{scheme}.png")
        page.set_viewport_size({"width": width, "height": height})
    context.close()


def make_room(page: Page, width: int, height: int) -> None:
    """Make the window as high as the content.

    Streamlit scrolls inside the page, so that a full-page picture would end at the window.
    """
    while True:
        needed = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        if needed <= height:
            return
        height = min(needed, LONGEST)
        page.set_viewport_size({"width": width, "height": height})
        page.locator(STILL).wait_for()
        page.wait_for_timeout(SETTLE_MS)
        if height == LONGEST:
            return


def settle(page: Page, name: str) -> None:
    """Wait until the page is drawn; begin a ranking, which is not submitted."""
    page.locator(".ranking .card" if name == "rank" else "h1").first.wait_for()
    page.locator(STILL).wait_for()
    if name == "export":
        # What draws code is fetched when it is first needed.
        page.locator("[data-testid=stCode] code").get_by_text("rankloop").first.wait_for()
    page.wait_for_timeout(SETTLE_MS)
    if name == "rank":
        for key in ("2", "1", "2"):
            page.keyboard.press(key)
        page.wait_for_timeout(300)


if __name__ == "__main__":
    main()
