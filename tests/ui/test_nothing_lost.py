"""What an annotator has done outlives the browser, the server and the lease; each deed counts once.

The database is looked into, and a browser without any memory of its own shows what was kept.
"""

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlmodel import select

from labeling.labeling_settings import change_labeling
from labeling.projects import get_project
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import (
    Assignment,
    Demonstration,
    Event,
    Prompt,
    Review,
    ReviewDecision,
    Role,
    Task,
    TaskStatus,
)
from tests.ui.conftest import Home, Server, free_port, running_server
from tests.ui.ranking.ranking_page import (
    PATIENCE_MS,
    cards,
    open_task,
    press,
    pressed,
    shown,
    stored_by_place,
    submit_and_wait,
)

_names = (f"keeper-{number}" for number in itertools.count())


@pytest.fixture
def name(module_home: Home) -> str:
    new = next(_names)
    module_home.account(new)
    return new


@pytest.fixture(scope="module")
def cached_context(browser: Browser) -> Iterator[BrowserContext]:
    """Keep one context, so that Streamlit's hundred files are fetched once."""
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    made.set_default_timeout(3 * PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def contexts(cached_context: BrowserContext) -> Iterator[Callable[[], BrowserContext]]:
    """Give a context that is signed in as nobody; a new page of it remembers no task.

    A page keeps what was done on a task in its own session storage, which dies with it.
    """

    def fresh() -> BrowserContext:
        cached_context.clear_cookies()
        return cached_context

    yield fresh
    for page in cached_context.pages:
        page.close()


def until(found: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def drafted(home: Home, name: str, rationale: str) -> bool:
    drafts = [each.draft for each in home.assignments(name)]
    return any(draft is not None and draft.get("rationale") == rationale for draft in drafts)


def begin(page: Page, home: Home, name: str) -> str:
    """Rank two of four, say why, and wait until the database has it; return the assignment."""
    press(page, "31")
    page.locator("#rationale").fill("половина 一半")
    until(lambda: drafted(home, name, "половина 一半"))
    return shown(page)


def expect_begun(page: Page, assignment: str) -> None:
    assert shown(page) == assignment
    assert pressed(page) == [3, 1, 0, 0]
    expect(page.locator("#rationale")).to_have_value("половина 一半")


def change(home: Home, assignment: str, **values: object) -> None:
    with writing(home.engine) as session:
        row = session.get_one(Assignment, int(assignment))
        for field, value in values.items():
            setattr(row, field, value)


Contexts = Callable[[], BrowserContext]


def test_a_new_browser_brings_the_draft_back(
    contexts: Contexts, server: Server, module_home: Home, name: str
) -> None:
    page = open_task(contexts().new_page(), server, name)
    begun = begin(page, module_home, name)
    page.close()
    page = open_task(contexts().new_page(), server, name)
    expect_begun(page, begun)
    page.reload()
    cards(page).nth(3).wait_for()
    expect_begun(page, begun)
    page.locator(".card").nth(2).locator('.rank[data-rank="2"]').click()
    page.locator(".card").nth(3).locator('.rank[data-rank="4"]').click()
    submit_and_wait(page, lambda: page.locator(".submit").click())
    (judgment,) = module_home.judgments(name)
    assert stored_by_place(module_home, name) == [[3, 1, 2, 4]]
    assert judgment.rationale == "половина 一半"
    assert all(each.draft is None for each in module_home.assignments(name))


def test_an_expired_lease_brings_the_draft_back(
    contexts: Contexts, server: Server, module_home: Home, name: str
) -> None:
    page = open_task(contexts().new_page(), server, name)
    begun = begin(page, module_home, name)
    page.close()
    change(module_home, begun, expires_at=now() - timedelta(hours=3))
    expect_begun(open_task(contexts().new_page(), server, name), begun)
    (assignment,) = module_home.assignments(name)
    assert assignment.expires_at > now()


def test_signing_out_gives_the_task_back_and_keeps_the_draft(
    contexts: Contexts, server: Server, module_home: Home, name: str
) -> None:
    page = open_task(contexts().new_page(), server, name)
    begun = begin(page, module_home, name)
    page.get_by_role("button", name=name).click()
    page.get_by_text("Sign out").click()
    page.wait_for_url(f"{server.url}/login**")
    assert [each.state for each in module_home.assignments(name)] == ["released"]
    expect_begun(open_task(contexts().new_page(), server, name), begun)


def test_signing_out_right_after_typing_keeps_it_in_the_database_alone(
    contexts: Contexts, server: Server, module_home: Home, name: str
) -> None:
    page = open_task(contexts().new_page(), server, name)
    begin(page, module_home, name)
    page.locator("#rationale").fill("typed last of all")
    page.get_by_role("button", name=name).click()
    page.get_by_text("Sign out").click()
    page.wait_for_url(f"{server.url}/login**")
    left = page.evaluate("Object.keys(sessionStorage).concat(Object.keys(localStorage))")
    assert [each for each in left if each.startswith("rankloop:draft:")] == []
    page = open_task(contexts().new_page(), server, name)
    expect(page.locator("#rationale")).to_have_value("typed last of all")


@pytest.mark.slow
def test_a_correction_that_was_begun_comes_back_and_can_be_given_up(
    contexts: Contexts, server: Server, module_home: Home, name: str
) -> None:
    page = open_task(contexts().new_page(), server, name)
    first = shown(page)
    press(page, "1234")
    submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    second = shown(page)
    submit_and_wait(page, lambda: page.keyboard.press("u"))
    press(page, "4")
    page.locator("#rationale").fill("on second thoughts")
    until(lambda: drafted(module_home, name, "on second thoughts"))
    again = open_task(contexts().new_page(), server, name)
    assert shown(again) == first
    assert pressed(again) == [4, 2, 3, 4]
    expect(again.get_by_text("You are correcting an earlier judgment")).to_be_visible()
    submit_and_wait(again, lambda: again.get_by_role("button", name="Leave it as it was").click())
    assert shown(again) == second
    assert stored_by_place(module_home, name) == [[1, 2, 3, 4]]
    last = open_task(contexts().new_page(), server, name)
    assert shown(last) == second


def test_a_late_submit_of_a_full_task_is_told_and_kept(
    contexts: Contexts, server: Server, module_home: Home, name: str
) -> None:
    page = open_task(contexts().new_page(), server, name)
    begun = shown(page)
    (assignment,) = module_home.assignments(name)
    press(page, "2134")
    page.locator("#rationale").fill("too late")
    change(module_home, begun, expires_at=now() - timedelta(hours=1))
    with writing(module_home.engine) as session:
        session.get_one(Task, assignment.task_id).status = TaskStatus.DONE
    submit_and_wait(page, lambda: page.locator(".submit").click())
    expect(page.locator(".ranking .words")).to_contain_text("kept in the record")
    with writing(module_home.engine) as session:
        session.get_one(Task, assignment.task_id).status = TaskStatus.READY
        refused = session.exec(
            select(Event).where(
                Event.kind == "judgment.refused", Event.account_id == assignment.annotator_id
            )
        ).one()
    assert refused.personal == {"rationale": "too late"}
    assert [refused.detail["ranks"][at] for at in assignment.display_order] == [2, 1, 3, 4]
    assert module_home.judgments(name) == []
    assert shown(page) != begun


@pytest.mark.slow
def test_what_was_sent_back_stands_on_top_with_its_comment(
    contexts: Contexts, server: Server, module_home: Home, name: str
) -> None:
    page = open_task(contexts().new_page(), server, name)
    first = shown(page)
    for _ in range(2):
        press(page, "1234")
        submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    lead = module_home.account(f"lead-of-{name}", Role.LEAD)
    judgment, _ = module_home.judgments(name)
    with writing(module_home.engine) as session:
        session.add(
            Review(
                project_id=module_home.project_id, task_id=judgment.task_id,
                judgment_id=judgment.id, decision=ReviewDecision.RETURNED,
                comment="Read C to its end ![x](http://attack.invalid/b.png)",
                by_id=lead.id or 0, nonce=f"return-{name}",
            )
        )  # fmt: skip
    page.reload()
    page.get_by_role("link", name="My judgments (1)").click()
    expect(page.get_by_text("Sent back to you")).to_be_visible()
    expect(page.get_by_text("The lead wrote: Read C to its end ![x](http")).to_be_visible()
    page.get_by_role("button", name="Correct").first.click()
    cards(page).nth(3).wait_for()
    assert shown(page) == first
    assert pressed(page) == [1, 2, 3, 4]
    page.locator(".card").nth(0).locator('.rank[data-rank="3"]').click()
    submit_and_wait(page, lambda: page.locator(".submit").click())
    old, _, new = module_home.judgments(name)
    assert new.supersedes_id == old.id
    assert stored_by_place(module_home, name)[2] == [2, 1, 2, 3]
    page.reload()
    expect(page.get_by_role("link", name="My judgments", exact=True)).to_be_visible()


@pytest.mark.slow
def test_a_prompt_of_ones_own_is_kept_until_it_is_saved(
    contexts: Contexts, server: Server, module_home: Home, name: str
) -> None:
    with writing(module_home.engine) as session:
        project = get_project(session, name="default")
        change_labeling(
            session, project=project, by=None, section="page", values={"own_prompts": True}
        )
    page = open_task(contexts().new_page(), server, name)
    page.get_by_role("link", name="Write a prompt").click()
    page.get_by_label("Your prompt").fill(f"为什么 {name}?")
    page.get_by_label("The answer you would like").fill("因为")
    page.reload()
    expect(page.get_by_label("Your prompt")).to_have_value(f"为什么 {name}?")
    page.get_by_role("button", name="Save").dblclick()
    expect(page.get_by_text("Your prompt is saved")).to_be_visible()
    expect(page.get_by_label("The answer you would like")).to_have_value("")
    with reading(module_home.engine) as session:
        prompt = session.exec(select(Prompt).where(Prompt.source == "annotator")).one()
        written = session.exec(select(Demonstration)).one()
    assert prompt.messages == [{"role": "user", "content": f"为什么 {name}?"}]
    assert (written.prompt_id, written.text) == (prompt.id, "因为")


# ---- the server is killed -----------------------------------------------------------------------


# The window in which Streamlit tells developers to start their server again.
COUNT_STREAMLITS_WINDOWS = """() => {
  window.streamlitsWindows = 0;
  const count = (node) => {
    if (node.textContent.startsWith("Connection error")) window.streamlitsWindows += 1;
  };
  new MutationObserver((changes) => changes.forEach((each) => each.addedNodes.forEach(count)))
    .observe(document.body, { childList: true });
}"""

FOCUSED = "document.activeElement.shadowRoot?.activeElement?.id"


def test_a_server_killed_mid_draft_and_mid_submit(
    contexts: Contexts, module_home: Home, name: str
) -> None:
    port = free_port()
    with running_server(module_home.path, port=port) as first:
        page = open_task(contexts().new_page(), first, name)
        begun = begin(page, module_home, name)
        page.locator("#rationale").fill("typed without a server")
        page.evaluate(COUNT_STREAMLITS_WINDOWS)
        first.process.kill()
        first.process.wait()
        until(lambda: page.evaluate("window.streamlitsWindows"), 30)
        until(lambda: page.evaluate(FOCUSED) == "rationale")
        page.keyboard.type(", and more")
        assert page.get_by_role("dialog").count() == 0, "it would cover the task"
    with running_server(module_home.path, port=port) as second:
        until(lambda: drafted(module_home, name, "typed without a server, and more"), 60)
        assert shown(page) == begun
        page.locator(".card").nth(2).locator('.rank[data-rank="2"]').click()
        page.locator(".card").nth(3).locator('.rank[data-rank="4"]').click()
        # The submit reaches the server's socket, and no more than that.
        second.process.send_signal(signal.SIGSTOP)
        page.locator(".submit").click()
        page.wait_for_timeout(300)
        second.process.kill()
        second.process.wait()
        assert module_home.judgments(name) == []
    with running_server(module_home.path, port=port):
        until(lambda: module_home.judgments(name), 60)
        until(lambda: shown(page) != begun, 60)
        page.wait_for_timeout(1000)
    (judgment,) = module_home.judgments(name)
    assert stored_by_place(module_home, name) == [[3, 1, 2, 4]]
    assert judgment.rationale == "typed without a server, and more"
    with reading(module_home.engine) as session:
        stored = session.exec(
            select(Event).where(
                Event.kind == "judgment.stored", Event.account_id == judgment.annotator_id
            )
        ).all()
    assert len(stored) == 1


def test_a_double_click_and_two_tabs_store_once_each(
    contexts: Contexts, server: Server, module_home: Home, name: str
) -> None:
    context = contexts()
    page = open_task(context.new_page(), server, name)
    other = context.new_page()
    other.goto(server.url)
    cards(other).nth(3).wait_for()
    assert shown(other) == shown(page), "a second tab has the same task"
    press(page, "1234")
    submit_and_wait(page, lambda: page.locator(".submit").dblclick())
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert stored_by_place(module_home, name) == [[1, 2, 3, 4]]
    assert len(module_home.assignments(name)) == 2
    other.reload()
    cards(other).nth(3).wait_for()
    assert shown(other) == shown(page)
