"""A lead in a real browser: decide, send back and discard on the review page; roll back."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sqlmodel import select

from labeling.judging.judgments import flag_assignment, submit_judgment
from labeling.policies import live_policy, replace_live
from labeling.work_queue.assignment import next_assignment
from storage.engine import reading, writing
from storage.tables import Policy, PolicyStatus, Review, ReviewDecision, Role, Task, TaskStatus
from tests.ui.conftest import PASSWORD, Home, Server

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def reviewed(module_home: Home) -> Home:
    """Two tasks judged the other way round by two annotators, and a third that one flagged."""
    home = module_home
    home.account("lena", Role.LEAD)
    for name, ranks in (("ann", [1, 2, 3, 4]), ("bob", [4, 3, 2, 1])):
        annotator = home.account(name)
        for number in range(2):
            with writing(home.engine) as session:
                lent = next_assignment(
                    session, project_id=home.project_id, annotator_id=annotator.id or 0, minutes=5
                )
                assert lent is not None
                submit_judgment(
                    session, assignment_id=lent.assignment_id, annotator_id=annotator.id or 0,
                    ranks=ranks, milliseconds=9000, nonce=f"{name}-{number}", rationale="As I see.",
                )  # fmt: skip
    with writing(home.engine) as session:
        lent = next_assignment(
            session, project_id=home.project_id, annotator_id=annotator.id or 0, minutes=5
        )
        assert lent is not None
        flag_assignment(
            session, assignment_id=lent.assignment_id, annotator_id=annotator.id or 0,
            flags=["unsafe"], comment="A threat <b>here</b>",
        )  # fmt: skip
        live = live_policy(session, project_id=home.project_id)
        replace_live(
            session, project_id=home.project_id, parent=live,
            checkpoint_uri="checkpoints/two", round_id=None,
        )  # fmt: skip
    return home


@pytest.fixture
def page(browser: Browser, server: Server, reviewed: Home) -> Iterator[Page]:
    with closing(browser.new_context(viewport={"width": 1440, "height": 900})) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{server.url}/login")
        page.fill("#name", "lena")
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(f"{server.url}/")
        yield page


def rank(page: Page, letter: str, value: int) -> None:
    group = page.get_by_role("radiogroup", name=f"Rank of {letter}")
    group.get_by_text(str(value), exact=True).click()


def expect_ranks(page: Page, ranks: list[int]) -> None:
    for letter, value in zip("ABCD", ranks, strict=True):
        group = page.get_by_role("radiogroup", name=f"Rank of {letter}")
        expect(group.get_by_role("radio", name=str(value))).to_be_checked(timeout=PATIENCE_MS)


def waiting(page: Page, number: int) -> Locator:
    found = page.get_by_text(f"{number} waiting")
    expect(found).to_be_visible(timeout=PATIENCE_MS)
    return found


def reviews(home: Home) -> list[Review]:
    with reading(home.engine) as session:
        return list(session.exec(select(Review).order_by(Review.id)))  # type: ignore[arg-type]


def test_a_lead_decides_sends_back_and_discards(page: Page, server: Server, reviewed: Home) -> None:
    page.goto(f"{server.url}/review")
    waiting(page, 3)
    page.get_by_role("button", name="Decide").click()
    page.get_by_text("Give A, B, C, D a rank first").wait_for()
    page.get_by_label("Why (kept with the decision)").click()
    page.keyboard.type("Know what makes work: knm", delay=20)
    assert reviews(reviewed) == [], "letters typed into a text are no shortcuts"
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Use this ranking").first.click()
    # The server fills these in: a click before they are there would be of the ranks before them.
    expect_ranks(page, [1, 2, 3, 4])
    rank(page, "D", 3)
    prompt = page.get_by_test_id("stMain").get_by_text("Prompt", exact=True)
    page.set_viewport_size({"width": 1440, "height": 420})
    page.get_by_role("button", name="Decide").scroll_into_view_if_needed()
    expect(prompt).not_to_be_in_viewport()
    page.get_by_role("button", name="Decide").click()
    waiting(page, 2)
    expect(prompt, "the next task is read from its beginning").to_be_in_viewport(
        timeout=PATIENCE_MS
    )
    page.set_viewport_size({"width": 1440, "height": 900})
    (decided,) = reviews(reviewed)
    assert (decided.decision, decided.ranks) == (ReviewDecision.DECIDED, [1, 2, 3, 3])
    assert decided.reason == "Know what makes work: knm"

    page.get_by_role("button", name="Send back").first.click()
    page.get_by_label("What should they look at again?").fill("Read B once more.")
    page.get_by_role("button", name="Send back to them").click()
    page.get_by_text("sent back, not judged again yet").wait_for()
    expect(page.get_by_test_id("stPopoverBody"), "no neighbour opens by itself").to_have_count(0)
    page.get_by_role("button", name="Discard").last.click()
    page.get_by_label("Why should it not count?").fill("Upside down.")
    page.get_by_role("button", name="Discard it").click()
    page.get_by_text("This task no longer waits").wait_for()
    page.get_by_role("button", name="Restore").click()
    waiting(page, 2)
    assert [one.decision for one in reviews(reviewed)[1:]] == [
        ReviewDecision.RETURNED, ReviewDecision.DISCARDED, ReviewDecision.RESTORED,
    ]  # fmt: skip

    page.get_by_text("Upside down.").wait_for()
    page.locator("h1").click()
    page.keyboard.press("k")
    waiting(page, 1)
    page.get_by_text("bob flagged it: unsafe").first.wait_for()
    assert page.locator("b", has_text="here").count() == 0, "what people typed is text"
    assert page.evaluate("window.hacked") is None


def test_what_was_typed_and_ranked_is_there_after_a_look_at_another_page(
    page: Page, server: Server
) -> None:
    page.goto(f"{server.url}/review?task=1")
    why = page.get_by_label("Why (kept with the decision)")
    rank(page, "B", 3)
    why.fill("Both overlook the second question")
    page.keyboard.press("Tab")
    page.wait_for_timeout(1000)
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name="Guidelines").click()
    expect(page.get_by_role("heading", name="Guidelines")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name="Review", exact=True).click()
    expect(why).to_have_value("Both overlook the second question", timeout=PATIENCE_MS)
    group = page.get_by_role("radiogroup", name="Rank of B")
    expect(group.get_by_role("radio", name="3")).to_be_checked()


def test_a_lead_rolls_back_with_one_click(page: Page, server: Server, reviewed: Home) -> None:
    page.goto(f"{server.url}/rounds")
    page.get_by_role("button", name="Make version 1 live again").click()
    page.get_by_text("Version 3, live (version 1 again)").wait_for()
    with reading(reviewed.engine) as session:
        live = session.exec(select(Policy).where(Policy.status == PolicyStatus.LIVE)).one()
        assert (live.version, live.checkpoint_uri) == (3, "models/tiny")
        assert session.exec(select(Task).where(Task.status == TaskStatus.WITHDRAWN)).first() is None
