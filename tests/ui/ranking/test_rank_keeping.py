"""Nothing lost: drafts, retries, lost connections, and what the server says, in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.ranking.ranking_stage import (
    PAGE_SETTINGS,
    Stage,
    context_for,
    load,
    open_stage,
    task,
    texts,
)

FIRST_PATIENCE_MS = 8000


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[Stage]:
    made = context_for(browser)
    stage = open_stage(made)
    # The clock of the page is ours, so that patience costs no time.
    stage.page.clock.install(time=0)
    stage.page.clock.pause_at(60_000)
    yield stage
    made.close()


@pytest.fixture
def stage(opened: Stage) -> Stage:
    opened.page.reload()
    opened.page.evaluate("localStorage.clear(); sessionStorage.clear()")
    load(opened.page)
    return opened.show(task(texts(4)))


def again(stage: Stage, **values: Any) -> Stage:
    """Reload the page and show the same task."""
    stage.page.reload()
    load(stage.page)
    return stage.show(task(texts(4), **values))


def test_drafts_are_sent_at_most_every_two_seconds(stage: Stage) -> None:
    stage.page.clock.run_for(3000)
    assert stage.sent("draft") == []
    stage.press("1", "2")
    stage.page.clock.run_for(10)
    stage.press("3")
    stage.page.clock.run_for(1000)
    assert len(stage.sent("draft")) == 1
    stage.page.clock.run_for(1100)
    first, second = stage.sent("draft")
    assert (first["assignment"], first["serial"]) == (1, "1")
    assert first["draft"]["ranks_by_place"] == [1, 2, 0, 0]
    assert second["draft"]["ranks_by_place"] == [1, 2, 3, 0]
    stage.page.clock.run_for(5000)
    assert len(stage.sent("draft")) == 2, "nothing changed since"


def test_a_hidden_page_sends_its_draft_at_once_and_stops_the_clock(stage: Stage) -> None:
    stage.press("1")
    stage.page.clock.run_for(5)
    stage.press("2", "3", "4")
    hide = """visible => {
      Object.defineProperty(document, "visibilityState", { value: visible, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    stage.page.evaluate(hide, "hidden")
    assert stage.sent("draft")[-1]["draft"]["ranks_by_place"] == [1, 2, 3, 4]
    stage.page.clock.run_for(600_000)
    assert stage.sent("beat") == []
    stage.page.evaluate(hide, "visible")
    assert len(stage.sent("beat")) == 1
    stage.press("Enter")
    assert stage.sent("submit")[0]["milliseconds"] < 60_000


def test_a_heartbeat_each_minute(stage: Stage) -> None:
    stage.page.clock.run_for(181_000)
    assert [beat["assignment"] for beat in stage.sent("beat")] == [1, 1, 1]


def test_a_reload_brings_all_back(stage: Stage) -> None:
    stage.press("3", "1")
    stage.find("#rationale").fill("so far")
    again(stage)
    assert stage.ranks() == [3, 1, 0, 0]
    expect(stage.find("#rationale")).to_have_value("so far")
    assert stage.find(".card.active .letter").inner_text() == "C"


def test_what_was_typed_to_skip_or_flag_comes_back(stage: Stage) -> None:
    comment = stage.press("f").page.get_by_placeholder("A comment")
    comment.fill("a phone number")
    stage.press("Escape")
    expect(comment).to_be_hidden()  # Browsers close a window a moment after the key.
    reason = stage.press("s").page.get_by_placeholder("Another reason")
    reason.fill("too long")
    stage.press("Escape")
    expect(reason).to_be_hidden()
    stage.page.clock.run_for(3000)
    draft = stage.sent("draft")[-1]["draft"]
    assert (draft["flag_comment"], draft["skip_reason"]) == ("a phone number", "too long")
    stage = again(stage).press("f")
    expect(stage.page.get_by_placeholder("A comment")).to_have_value("a phone number")
    stage.press("Escape").page.evaluate("sessionStorage.clear()")
    stage = again(stage, draft=draft).press("s")
    reason = stage.page.get_by_placeholder("Another reason")
    expect(reason).to_have_value("too long")
    stage.press("Escape")
    expect(reason).to_be_hidden()
    stage.show(task(texts(4), serial="2", assignment=2)).press("s")
    expect(stage.page.get_by_placeholder("Another reason")).to_have_value("")


def test_a_key_right_after_a_window_has_closed_is_not_its_field_s(stage: Stage) -> None:
    stage.press("f").page.get_by_placeholder("A comment").evaluate(
        """field => {
            field.focus();
            field.closest("dialog").close();
            const key = { key: "s", bubbles: true, composed: true, cancelable: true };
            field.dispatchEvent(new KeyboardEvent("keydown", key));
        }"""
    )
    expect(stage.page.get_by_placeholder("Another reason")).to_be_visible()


def test_the_draft_of_the_database_comes_back_in_another_browser(stage: Stage) -> None:
    stage.press("3", "1")
    stage.page.clock.run_for(3000)
    draft = stage.sent("draft")[-1]["draft"]
    stage.page.evaluate("sessionStorage.clear()")
    again(stage, draft=draft)
    assert stage.ranks() == [3, 1, 0, 0]


def test_the_newer_of_two_drafts_wins(stage: Stage) -> None:
    stage.press("3", "1")
    stage.page.clock.run_for(3000)
    draft = stage.sent("draft")[-1]["draft"]
    newer = {**draft, "ranks_by_place": [4, 4, 4, 4], "changed_at": draft["changed_at"] + 60_000}
    older = {**newer, "changed_at": draft["changed_at"] - 60_000}
    again(stage, draft=older)
    assert stage.ranks() == [3, 1, 0, 0]
    again(stage, draft=newer)
    assert stage.ranks() == [4, 4, 4, 4]


@pytest.mark.parametrize(
    "draft",
    [
        {},
        {"ranks_by_place": [1, 2]},
        {"ranks_by_place": [1, 2, 3, 99]},
        [],
        {"ranks_by_place": "x"},
    ],
)
def test_a_draft_that_does_not_fit_is_left_aside(stage: Stage, draft: Any) -> None:
    stage.show(task(texts(4), serial="other", draft=draft))
    assert stage.ranks() == [0, 0, 0, 0]


def test_an_unanswered_submit_is_sent_again_with_its_nonce(stage: Stage) -> None:
    stage.press("1", "2", "3", "4", "Enter")
    expect(stage.find(".submit")).to_be_disabled()
    stage.press("Shift+A", "4")
    assert stage.ranks() == [1, 2, 3, 4], "what is under way is not changed"
    stage.page.clock.run_for(FIRST_PATIENCE_MS + 100)
    expect(stage.find(".words")).to_contain_text("Not saved yet; trying again")
    first, second = stage.sent("submit")
    assert first == second
    stage.show(task(texts(4), serial="2", assignment=2))
    stage.page.clock.run_for(60_000)
    assert len(stage.sent("submit")) == 2
    assert stage.ranks() == [0, 0, 0, 0]


def test_after_four_silent_tries_the_work_is_given_back(stage: Stage) -> None:
    stage.press("1", "2", "3", "4", "Enter")
    stage.page.clock.run_for(130_000)
    assert len(stage.sent("submit")) == 4
    expect(stage.find(".words")).to_contain_text("could not be saved")
    expect(stage.find(".submit")).to_be_enabled()


def test_a_lost_connection_is_said_and_the_submit_goes_out_after_it(stage: Stage) -> None:
    stage.connection("PINGING_SERVER")
    expect(stage.find(".words")).to_contain_text("No connection")
    stage.press("1", "2", "3", "4", "Enter")
    stage.page.clock.run_for(60_000)
    assert stage.sent() == []
    expect(stage.find(".words")).to_contain_text("sent when the connection is back")
    stage.connection("CONNECTED")
    stage.page.clock.run_for(1500)
    (event,) = stage.sent("submit")
    assert event["ranks_by_place"] == [1, 2, 3, 4]


def test_no_draft_overtakes_a_submit(stage: Stage) -> None:
    stage.press("1", "2", "3", "4")
    stage.page.clock.run_for(10)
    stage.press("Shift+A", "4", "Enter")
    stage.page.clock.run_for(5000)
    assert [name for name, _ in stage.sent()][-1:] == ["submit"]


def test_a_refusal_is_shown_and_the_next_try_has_the_same_nonce(stage: Stage) -> None:
    stage.press("1", "2", "3", "4", "Enter")
    stage.show(task(texts(4), refusal={"id": "a", "text": "Not now."}))
    expect(stage.find(".words")).to_have_text("Not now.")
    assert stage.ranks() == [1, 2, 3, 4]
    stage.press("Enter")
    first, second = stage.sent("submit")
    assert first["nonce"] == second["nonce"]


def test_answers_to_questions_that_are_no_longer_asked_are_not_sent(stage: Stage) -> None:
    criteria = [{"name": "helpful", "kind": "likert"}, {"name": "safe", "kind": "check"}]
    draft = {
        "ranks_by_place": [1, 2],
        "strength": 3,
        "likert": {"helpful": [7, 1], "gone": [1, 1], "safe": [2, 2]},
        "checks": {"safe": [True, None], "gone": [False, True], "helpful": [True, True]},
        "changed_at": 1,
    }
    page = {**PAGE_SETTINGS, "criteria": criteria, "strength": False}
    stage.show(task(texts(2), serial="changed", draft=draft, page=page))
    stage.press("Enter")
    (event,) = stage.sent("submit")
    assert event["likert_by_place"] == {"helpful": [7, 1]}
    assert event["checks_by_place"] == {"safe": [True, None]}
    assert event["strength"] is None


def test_what_a_lead_asks_meanwhile_is_asked_and_what_is_answered_stays(stage: Stage) -> None:
    stage.press("2", "1", "3", "4")
    page = {
        **PAGE_SETTINGS,
        "criteria": [{"name": "helpful", "kind": "likert"}],
        "rationale": "required",
    }
    stage.show(task(texts(4), page=page, refusal={"id": "b", "text": "The criteria changed."}))
    expect(stage.find(".words")).to_have_text("The criteria changed.")
    expect(stage.find(".criterion h4")).to_have_text("helpful")
    assert stage.ranks() == [2, 1, 3, 4]
    stage.press("Enter")
    assert stage.sent("submit") == []
    stage.find("#rationale").fill("clear")
    stage.find(".submit").click()
    (event,) = stage.sent("submit")
    assert (event["ranks_by_place"], event["rationale"]) == ([2, 1, 3, 4], "clear")


def test_a_rewrite_is_kept_until_the_server_has_it(stage: Stage) -> None:
    stage.press("Shift+B", "w")
    stage.find("#rewritten").fill("A better answer.")
    stage.page.clock.run_for(500)
    stage.page.get_by_role("button", name="Save as a demonstration").click()
    stage.page.clock.run_for(FIRST_PATIENCE_MS + 100)
    first, second = stage.sent("rewrite")
    assert first == second
    assert (first["place"], first["text"]) == (1, "A better answer.")
    stage.show(task(texts(4), done=first["nonce"], feedback={"id": "x", "text": "Saved."}))
    expect(stage.find(".banner")).to_contain_text("Saved.")
    stage.press("1")
    stage.page.clock.run_for(60_000)
    assert len(stage.sent("rewrite")) == 2


def test_undo_keeps_the_draft_of_the_task_at_hand(stage: Stage) -> None:
    stage.press("4", "u")
    stage.show(task(texts(4), serial="1.1", draft={"ranks_by_place": [1, 2, 3, 4]}, can_undo=False))
    assert stage.ranks() == [1, 2, 3, 4]
    stage.press("Enter")
    stage.show(task(texts(4)))
    assert stage.ranks() == [4, 0, 0, 0]
