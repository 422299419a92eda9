"""What an annotator does on the ranking page, for tests in a real browser."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page

from tests.ui.conftest import PASSWORD, Home, Server

PATIENCE_MS = 20_000


def open_task(page: Page, server: Server, name: str) -> Page:
    page.goto(f"{server.url}/")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    cards(page).nth(3).wait_for()
    return page


def cards(page: Page) -> Locator:
    return page.locator(".ranking .card")


def shown(page: Page) -> str:
    found = page.locator(".ranking").get_attribute("data-assignment")
    assert found is not None
    return found


def press(page: Page, keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def pressed(page: Page) -> list[int]:
    """Return the ranks by place as the page shows them, 0 for none."""
    ranks = []
    for place in range(4):
        button = cards(page).nth(place).locator('.rank[aria-pressed="true"]')
        ranks.append(int(button.inner_text()) if button.count() else 0)
    return ranks


def submit_and_wait(page: Page, how: Callable[[], None]) -> None:
    before = shown(page)
    how()
    changed = f"() => {{ const found = {FIND}; return found && found !== '{before}'; }}"
    page.wait_for_function(changed)


# Playwright's selectors look into shadow roots, plain JavaScript does not.
FIND = (
    "[...document.querySelectorAll('*')].map(each => each.shadowRoot?.querySelector('.ranking'))"
    ".find(Boolean)?.dataset.assignment"
)


def stored_by_place(home: Home, name: str) -> list[list[int]]:
    """Return the ranks of each judgment in the order in which the completions were shown."""
    return [
        [judgment.ranks[position] for position in judgment.display_order]
        for judgment in home.judgments(name)
    ]


def drag(page: Page, place: int, rank: int) -> None:
    start = cards(page).nth(place).locator(".letter").bounding_box()
    lane = page.locator(f'.lane[data-rank="{rank}"]')
    end = lane.bounding_box()
    assert start is not None
    assert end is not None
    page.mouse.move(start["x"] + 4, start["y"] + 8)
    page.mouse.down()
    page.mouse.move(start["x"] + 60, start["y"] + 60, steps=4)
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=6)
    page.mouse.up()
