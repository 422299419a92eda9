"""The ranking page in a real browser, on a real server and database: what is stored is what the
annotator did, given the order in which the completions were shown."""

import itertools
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from labeling.datasets.snapshots import create_snapshot
from labeling.policies import live_policy
from storage.clock import now
from storage.engine import writing
from storage.tables import Policy, PolicyStatus, Project, Round, RoundState
from tests.ui.conftest import Home, Server
from tests.ui.ranking.ranking_page import (
    PATIENCE_MS,
    cards,
    drag,
    open_task,
    press,
    pressed,
    shown,
    stored_by_place,
    submit_and_wait,
)

_names = (f"annotator-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def cached_context(browser: Browser) -> Iterator[BrowserContext]:
    """Keep one context, so that Streamlit's hundred files are fetched once."""
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def context(cached_context: BrowserContext) -> Iterator[BrowserContext]:
    cached_context.clear_cookies()
    yield cached_context
    for page in cached_context.pages:
        page.close()


@pytest.fixture
def name(module_home: Home) -> str:
    new = next(_names)
    module_home.account(new)
    return new


@pytest.fixture
def page(context: BrowserContext, server: Server, name: str) -> Page:
    return open_task(context.new_page(), server, name)


def test_three_tasks_by_keyboard_and_one_by_drag(page: Page, module_home: Home, name: str) -> None:
    counts = page.locator(".counts")
    expect(counts).to_have_text("0 today · 0 in all")
    entered = [[2, 1, 3, 4], [4, 3, 2, 1], [1, 2, 2, 3]]
    for ranks in entered:
        press(page, "".join(map(str, ranks)))
        assert pressed(page) == ranks
        submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    expect(counts).to_have_text("3 today · 3 in all")
    for place, rank in enumerate([3, 1, 2, 1]):
        cards(page).nth(place).scroll_into_view_if_needed()
        drag(page, place, rank)
    expect(page.locator(".words")).to_have_text("B = D > C > A")
    submit_and_wait(page, lambda: page.locator(".submit").click())
    assert stored_by_place(module_home, name) == [*entered, [3, 1, 2, 1]]
    orders = [tuple(each.display_order) for each in module_home.judgments(name)]
    assert len(set(orders)) > 1, "the order on screen must vary"
    assert all(0 < each.milliseconds < 120_000 for each in module_home.judgments(name))


def test_the_shown_order_is_the_stored_one(page: Page, module_home: Home, name: str) -> None:
    (assignment,) = module_home.assignments(name)
    starts = ["first", "second", "third", "long"]
    texts = [cards(page).nth(place).locator(".text").inner_text() for place in range(4)]
    wanted = [starts[position] for position in assignment.display_order]
    assert [text.split()[0] for text in texts] == wanted


def test_gaps_become_dense_ranks(page: Page, module_home: Home, name: str) -> None:
    press(page, "1442")
    submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    assert stored_by_place(module_home, name) == [[1, 3, 3, 2]]


def test_letters_digits_and_backspace(page: Page) -> None:
    press(page, "c1a4")
    assert pressed(page) == [4, 0, 1, 0]
    page.keyboard.press("c")
    page.keyboard.press("Backspace")
    assert pressed(page) == [4, 0, 0, 0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("2")
    assert pressed(page) == [4, 0, 0, 2]
    press(page, "9")
    assert pressed(page) == [4, 0, 0, 2]


def test_nothing_is_sent_before_all_are_ranked(page: Page, module_home: Home, name: str) -> None:
    expect(page.locator(".submit")).to_be_disabled()
    press(page, "12")
    page.keyboard.press("Enter")
    expect(page.locator(".words")).to_have_text("Still to rank: C, D")
    page.wait_for_timeout(500)
    assert module_home.judgments(name) == []


def test_a_double_submit_stores_one(page: Page, module_home: Home, name: str) -> None:
    press(page, "1234")
    submit_and_wait(page, lambda: page.locator(".submit").dblclick())
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert stored_by_place(module_home, name) == [[1, 2, 3, 4]]


def test_hostile_text_stays_text_and_fetches_nothing(
    context: BrowserContext, server: Server, name: str
) -> None:
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_task(page, server, name)
    page.keyboard.press("x")
    expect(page.locator(".ranking .cards")).to_contain_text('<img src=x onerror="window.hacked=1">')
    expect(page.locator(".ranking .prompt")).to_contain_text("![x](http://attack.invalid/a.png)")
    assert page.locator(".ranking img, .ranking script, .ranking strong").count() == 0
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    assert [url for url in asked if not url.startswith((server.url, "blob:", "data:"))] == []


def test_a_reload_keeps_the_draft(page: Page, module_home: Home, name: str) -> None:
    before = shown(page)
    press(page, "31")
    page.reload()
    cards(page).nth(3).wait_for()
    assert shown(page) == before
    assert pressed(page) == [3, 1, 0, 0]
    press(page, "24")
    submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    assert pressed(page) == [0, 0, 0, 0]
    assert stored_by_place(module_home, name) == [[3, 1, 2, 4]]


def test_skip_with_a_reason(page: Page, module_home: Home, name: str) -> None:
    page.keyboard.press("s")
    submit_and_wait(page, lambda: page.get_by_role("button", name="Cannot judge").click())
    page.keyboard.press("s")
    page.get_by_label("Another reason").fill("Not in a language I read: a, 1")
    submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    skipped = [each for each in module_home.assignments(name) if each.state == "skipped"]
    reasons = [each.skip_reason for each in skipped]
    assert reasons == ["Cannot judge", "Not in a language I read: a, 1"]
    assert module_home.judgments(name) == []


def test_the_last_judgment_can_be_corrected(page: Page, module_home: Home, name: str) -> None:
    first = shown(page)
    press(page, "1234")
    submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    second = shown(page)
    press(page, "4")
    submit_and_wait(page, lambda: page.keyboard.press("u"))
    assert shown(page) == first
    assert pressed(page) == [1, 2, 3, 4]
    press(page, "a3")
    submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    assert shown(page) == second
    assert pressed(page) == [4, 0, 0, 0], "the draft of the task at hand is kept"
    expect(page.locator(".counts")).to_have_text("1 today · 1 in all")
    old, new = module_home.judgments(name)
    assert new.supersedes_id == old.id
    assert stored_by_place(module_home, name)[1] == [2, 1, 2, 3]


def test_a_refusal_is_said_and_nothing_is_lost(page: Page, module_home: Home, name: str) -> None:
    (assignment,) = module_home.assignments(name)
    other = module_home.account(next(_names))
    assert other.id is not None
    press(page, "1234")
    with writing(module_home.engine) as session:
        assignment.annotator_id = other.id
        session.add(assignment)
    page.keyboard.press("Enter")
    expect(page.locator(".words")).to_contain_text("lent to somebody else")
    assert module_home.judgments(name) == []


def test_keys_help_opens_and_closes(page: Page) -> None:
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="How to rank")
    expect(dialog).to_be_visible()
    press(page, "1")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert pressed(page) == [0, 0, 0, 0]


def test_submit_to_next_task_is_quick(page: Page) -> None:
    seconds = []
    for _ in range(3):
        press(page, "1234")
        started = time.monotonic()
        submit_and_wait(page, lambda: page.keyboard.press("Enter"))
        seconds.append(time.monotonic() - started)
    assert sorted(seconds)[1] < 1.0


def test_on_a_phone_by_touch(
    browser: Browser, server: Server, module_home: Home, name: str
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(PATIENCE_MS)
    page = open_task(context.new_page(), server, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for place, rank in enumerate([2, 4, 1, 3]):
        button = cards(page).nth(place).locator(f'.rank[data-rank="{rank}"]')
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44
        button.tap()
    assert pressed(page) == [2, 4, 1, 3]
    submit_and_wait(page, lambda: page.locator(".submit").tap())
    assert stored_by_place(module_home, name) == [[2, 4, 1, 3]]
    context.close()


def test_signing_out_leads_to_the_sign_in_page(page: Page, server: Server, name: str) -> None:
    page.get_by_role("button", name=name).click()
    page.get_by_text("Sign out").click()
    page.wait_for_url(f"{server.url}/login")
    page.goto(f"{server.url}/rounds")
    expect(page.locator("#password")).to_be_visible()


def test_an_ended_sign_in_leads_to_the_sign_in_page(
    page: Page, server: Server, module_home: Home, name: str
) -> None:
    with writing(module_home.engine) as session:
        account = module_home.assignments(name)[0].annotator_id
        session.connection().exec_driver_sql(
            f"UPDATE sign_in SET expires_at = '2020-01-01' WHERE account_id = {account}"
        )
    press(page, "1234")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{server.url}/login**")
    assert module_home.judgments(name) == []


def test_when_all_is_ranked_the_page_says_so(page: Page, module_home: Home, name: str) -> None:
    for _ in range(7):
        press(page, "1111")
        submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    press(page, "1111")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No task right now")).to_be_visible()
    expect(page.get_by_text("No worker is running")).to_be_visible()
    expect(page.get_by_text("8 today · 8 in all")).to_be_visible()


def publish_second_policy(home: Home) -> None:
    with writing(home.engine) as session:
        snapshot = create_snapshot(
            session,
            project=session.get_one(Project, home.project_id),
            folder=home.path / "snapshots",
            code_version="x",
        )
        done = Round(
            project_id=home.project_id, number=1, state=RoundState.DONE, snapshot_id=snapshot.id
        )
        session.add(done)
        live = live_policy(session, project_id=home.project_id)
        live.status = PolicyStatus.RETIRED
        session.add(live)
        session.flush()
        session.add(
            Policy(
                project_id=home.project_id, version=2, status=PolicyStatus.LIVE,
                round_id=done.id, published_at=now(),
            )
        )  # fmt: skip


def test_after_a_publish_a_quiet_banner_thanks(page: Page, module_home: Home) -> None:
    for _ in range(2):
        press(page, "1234")
        submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    assert page.locator(".news").count() == 0
    publish_second_policy(module_home)
    page.reload()
    banner = page.locator(".news")
    expect(banner).to_contain_text("The model has learned from 2 of your judgments.")
    banner.get_by_role("button", name="Dismiss").click()
    expect(banner).to_have_count(0)
    page.reload()
    cards(page).nth(3).wait_for()
    expect(banner).to_have_count(0)
