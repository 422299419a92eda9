"""Criteria, strength, notes and rewriting, on the stage: real modules in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator

from labeling.judging.criteria import HELPFUL_HONEST_HARMLESS, INSTRUCTGPT_METADATA
from labeling.judging.demonstrations import LONGEST_TEXT
from tests.ui.ranking.ranking_stage import (
    PAGE_SETTINGS,
    Stage,
    context_for,
    open_stage,
    task,
    texts,
)
from ui.languages import words_for
from ui.languages.criteria_words import shown_criteria

CRITERIA = shown_criteria(
    (*HELPFUL_HONEST_HARMLESS, *INSTRUCTGPT_METADATA[3:5]), words_for(None, "en")
)
HOSTILE = '<img src=x onerror="window.hacked=1"><b>bold</b>'


@pytest.fixture(scope="module")
def wide(browser: Browser) -> Iterator[BrowserContext]:
    with context_for(browser) as context:
        yield context


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[BrowserContext]:
    with context_for(browser, phone=True) as context:
        yield context


def given(context: BrowserContext, count: int = 4, **page: Any) -> Stage:
    data = task(texts(count), page={**PAGE_SETTINGS, "criteria": CRITERIA, **page})
    return open_stage(context).show(data)


def rank_all(stage: Stage) -> Stage:
    for place in range(stage.find(".card").count()):
        stage.card(place).locator(".rank").nth(place).click()
    return stage


def submitted(stage: Stage) -> dict[str, Any]:
    stage.find(".submit").click()
    (event,) = stage.sent("submit")
    found: dict[str, Any] = event
    return found


def answers(stage: Stage, name: str) -> Locator:
    return stage.page.get_by_role("radiogroup", name=name, exact=True).get_by_role("radio")


# ---- criteria -----------------------------------------------------------------------------------


def test_every_answer_arrives_under_its_place(wide: BrowserContext) -> None:
    stage = rank_all(given(wide))
    answers(stage, "Helpful, completion B").nth(4).click(force=True)
    answers(stage, "Hallucination, completion D").nth(0).click(force=True)
    event = submitted(stage)
    assert event["likert_by_place"] == {"helpful": [None, 5, None, None]}
    assert event["checks_by_place"] == {"hallucination": [None, None, None, True]}


def test_digits_letters_and_arrows_answer_from_the_keyboard(wide: BrowserContext) -> None:
    stage = rank_all(given(wide))
    answers(stage, "Helpful, completion A").first.focus()
    stage.press("6", "ArrowLeft")
    answers(stage, "Hallucination, completion A").first.focus()
    stage.press("n")
    answers(stage, "Hallucination, completion B").first.focus()
    stage.press("y", "0")
    assert stage.ranks() == [1, 2, 3, 4]
    event = submitted(stage)
    assert event["likert_by_place"] == {"helpful": [5, None, None, None]}
    assert event["checks_by_place"] == {"hallucination": [False, None, None, None]}


def test_a_second_click_takes_an_answer_back(wide: BrowserContext) -> None:
    stage = rank_all(given(wide))
    answer = answers(stage, "Honest, completion A").nth(2)
    answer.click(force=True)
    answer.click(force=True)
    assert not answer.is_checked()
    assert submitted(stage)["likert_by_place"] == {}


def test_no_for_the_rest_leaves_what_was_answered(wide: BrowserContext) -> None:
    stage = rank_all(given(wide))
    answers(stage, "Hallucination, completion C").nth(0).click(force=True)
    stage.page.get_by_role("button", name="Hallucination: No for the rest").click()
    assert submitted(stage)["checks_by_place"] == {"hallucination": [False, False, True, False]}


def test_what_a_lead_wrote_is_text(wide: BrowserContext) -> None:
    own = {"name": HOSTILE, "kind": "likert", "title": HOSTILE, "question": HOSTILE}
    stage = given(wide, criteria=[own], flags=[HOSTILE])
    assert stage.find(".criterion h4").inner_text() == HOSTILE
    assert stage.find(".flag-chip").inner_text().strip() == HOSTILE
    assert stage.page.evaluate("window.hacked") is None


def test_answers_come_back_with_a_draft(wide: BrowserContext) -> None:
    draft = {
        "ranks_by_place": [1, 2],
        "strength": 2,
        "likert": {"helpful": [None, 7]},
        "flags": ["unsafe"],
        "rationale": "B invents a city.",
    }
    page = {**PAGE_SETTINGS, "criteria": CRITERIA}
    stage = open_stage(wide).show(task(texts(2), serial="of a draft", page=page, draft=draft))
    event = submitted(stage)
    assert event["strength"] == 2
    assert event["likert_by_place"] == {"helpful": [None, 7]}
    assert event["flags"] == ["unsafe"]
    assert event["rationale"] == "B invents a city."


def left_edges(stage: Stage) -> set[float]:
    cells = stage.find(".criterion").first.locator(".cell")
    boxes = [cells.nth(place).bounding_box() for place in range(cells.count())]
    return {round(box["x"]) for box in boxes if box is not None}


def test_a_matrix_where_there_is_room_and_a_column_on_a_phone(
    wide: BrowserContext, phone: BrowserContext
) -> None:
    assert len(left_edges(given(wide))) == 4
    narrow = given(phone)
    assert len(left_edges(narrow)) == 1
    assert narrow.page.evaluate("document.documentElement.scrollWidth") == 390
    box = narrow.find(".segment").first.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert box["width"] >= 32


# ---- strength -----------------------------------------------------------------------------------


def test_strength_waits_for_a_ranking_and_names_the_better_one(wide: BrowserContext) -> None:
    stage = given(wide, count=2)
    choices = stage.find(".strength input")
    assert choices.first.is_disabled()
    stage.card(1).locator(".rank").nth(0).click()
    stage.card(0).locator(".rank").nth(1).click()
    assert stage.find(".strength h3").inner_text() == "How much better is B than A?"
    choices.nth(1).click(force=True)
    assert submitted(stage)["strength"] == 3


def test_a_tie_has_no_strength(wide: BrowserContext) -> None:
    stage = rank_all(given(wide, count=2))
    stage.find(".strength input").nth(0).click(force=True)
    stage.card(1).locator(".rank").nth(0).click()
    assert stage.find(".strength h3").inner_text() == "A tie: neither is better."
    assert submitted(stage)["strength"] is None


def test_more_than_two_have_no_strength(wide: BrowserContext) -> None:
    stage = rank_all(given(wide, count=3))
    assert not stage.find(".strength-slot").is_visible()
    assert submitted(stage)["strength"] is None


# ---- notes --------------------------------------------------------------------------------------


def test_a_required_rationale_is_asked_for_where_it_is_written(wide: BrowserContext) -> None:
    stage = rank_all(given(wide, rationale="required"))
    stage.find(".submit").click()
    assert stage.sent("submit") == []
    wanted = "Say in a sentence why you ranked them so; this project asks for it."
    assert stage.find("#rationale-missing").inner_text() == wanted
    stage.page.keyboard.type("C is the only true one.")
    assert stage.find("#rationale-missing").inner_text() == ""
    assert submitted(stage)["rationale"] == "C is the only true one."


def test_a_repaint_costs_no_word_and_no_cursor(wide: BrowserContext) -> None:
    stage = given(wide)
    data = task(texts(4), page={**PAGE_SETTINGS, "criteria": CRITERIA})
    area = stage.find("#rationale")
    area.fill("because it")
    stage.press("ArrowLeft", "ArrowLeft")
    stage.show({**data, "today": 4, "refusal": {"id": "1", "text": "No."}})
    stage.page.keyboard.type("of ")
    assert area.input_value() == "because of it"


def test_flags_are_boxes_with_names(wide: BrowserContext) -> None:
    stage = rank_all(given(wide))
    stage.page.get_by_role("checkbox", name="personal data").check()
    stage.page.get_by_role("checkbox", name="unsafe").check()
    assert submitted(stage)["flags"] == ["unsafe", "personal data"]


# ---- rewriting ----------------------------------------------------------------------------------


def rewriting(context: BrowserContext, text: str, **values: Any) -> Stage:
    stage = open_stage(context).show(task([text, "Another."], **values))
    stage.card(0).get_by_role("button", name="Rewrite completion A").click()
    return stage


def test_changes_are_shown_while_one_writes(wide: BrowserContext) -> None:
    stage = rewriting(wide, f"The capital is Lyon. {HOSTILE}")
    assert stage.find(".changes").inner_text() == "No changes yet."
    stage.find("#rewritten").fill(f"The capital is Paris. {HOSTILE}")
    stage.find(".changes ins").wait_for()
    assert stage.find(".changes del").inner_text().strip() == "Lyon"
    assert stage.find(".changes ins").inner_text().strip() == "Paris"
    assert HOSTILE in stage.find(".changes").inner_text()
    struck = stage.find(".changes del").evaluate(
        "node => getComputedStyle(node).textDecorationLine"
    )
    assert struck == "line-through"
    assert stage.page.evaluate("window.hacked") is None


def test_what_was_written_is_there_when_the_window_opens_again(wide: BrowserContext) -> None:
    stage = rewriting(wide, "Lyon.", serial="kept")
    stage.find("#rewritten").fill("Paris, of course.")
    stage.press("Escape")
    # A dialog's close event comes in a task of its own, after the key press has returned.
    stage.find("#rewritten").wait_for(state="detached")
    stage.card(0).get_by_role("button", name="Rewrite completion A").click()
    assert stage.find("#rewritten").input_value() == "Paris, of course."


def test_a_demonstration_is_sent_with_its_place(wide: BrowserContext) -> None:
    stage = rewriting(wide, "Lyon.", serial="sent")
    save = stage.page.get_by_role("button", name="Save as a demonstration")
    assert save.is_disabled()
    stage.find("#rewritten").fill("Paris.")
    save.click()
    (event,) = stage.sent("rewrite")
    assert (event["place"], event["text"]) == (0, "Paris.")


def test_the_limit_is_said_and_held(wide: BrowserContext) -> None:
    stage = rewriting(wide, "Lyon.", serial="long")
    stage.find("#rewritten").fill("é" * (LONGEST_TEXT + 2))
    save = stage.page.get_by_role("button", name="Save as a demonstration")
    stage.page.get_by_text("2 characters too many.").wait_for()
    assert save.is_disabled()
    stage.find("#rewritten").fill("😀" * 10)
    stage.page.get_by_text(f"10 of {LONGEST_TEXT} characters").wait_for()
    assert save.is_enabled()


def test_the_window_fills_a_phone(phone: BrowserContext) -> None:
    stage = rewriting(phone, "Lyon.")
    box = stage.find("dialog[open]").bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, 390)
    save = stage.page.get_by_role("button", name="Save as a demonstration").bounding_box()
    assert save is not None
    assert save["height"] >= 44
