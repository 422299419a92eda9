"""Every way in which an annotator ranks, in a real browser: what is done is what is sent."""

import itertools
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.ui.ranking.ranking_stage import Stage, context_for, open_stage, task, texts

COUNTS = (2, 4, 9)
PATIENCE_MS = 8000

_serials = (str(number) for number in itertools.count(1))


@pytest.fixture(scope="module")
def wide(browser: Browser) -> Iterator[BrowserContext]:
    made = context_for(browser)
    yield made
    made.close()


@pytest.fixture(scope="module")
def wide_stage(wide: BrowserContext) -> Stage:
    return open_stage(wide)


@pytest.fixture(scope="module")
def phone_stage(browser: Browser) -> Iterator[Stage]:
    made = context_for(browser, phone=True)
    yield open_stage(made)
    made.close()


def fresh(stage: Stage, count: int, **values: object) -> Stage:
    """Show a new task on a page that other tests have used."""
    serial = next(_serials)
    stage.page.evaluate("localStorage.clear(); window.sent.length = 0")
    stage.show(task(texts(count), serial=serial, assignment=int(serial), **values))
    stage.press("Shift+A")
    return stage


def submitted(stage: Stage) -> list[int]:
    (event,) = stage.sent("submit")
    ranks: list[int] = event["ranks_by_place"]
    return ranks


def mixed(count: int) -> list[int]:
    """Return ranks with a tie, neither in the order shown nor in its reverse."""
    return {2: [2, 1], 4: [3, 1, 2, 1], 9: [5, 2, 8, 1, 7, 2, 4, 6, 3]}[count]


@pytest.mark.parametrize("count", COUNTS)
def test_number_keys(wide_stage: Stage, count: int) -> None:
    stage = fresh(wide_stage, count)
    stage.press(*map(str, mixed(count)), "Enter")
    assert submitted(stage) == mixed(count)


@pytest.mark.parametrize("count", COUNTS)
def test_clicks_on_the_numbers(wide_stage: Stage, count: int) -> None:
    stage = fresh(wide_stage, count)
    for place, rank in enumerate(mixed(count)):
        stage.card(place).locator(f'.rank[data-rank="{rank}"]').click()
    stage.find(".submit").click()
    assert submitted(stage) == mixed(count)


def by_steps(stage: Stage, ranks: list[int], better: str, tie: str) -> None:
    """Bring each place in as the last, best first; tie it where it has its neighbour's rank."""
    order = sorted(range(len(ranks)), key=lambda place: ranks[place])
    for index, place in enumerate(order):
        same = index > 0 and ranks[order[index - 1]] == ranks[place]
        stage.press(f"Shift+{chr(65 + place)}", tie if same else better)


@pytest.mark.parametrize("count", COUNTS)
def test_arrows_alone(wide_stage: Stage, count: int) -> None:
    stage = fresh(wide_stage, count)
    by_steps(stage, mixed(count), "ArrowDown", "t")
    stage.press("Enter")
    assert submitted(stage) == mixed(count)


def test_arrows_move_out_of_ties_and_past_others(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 4)
    steps = [
        ("1234", [1, 2, 3, 4]),
        (["Shift+C", "ArrowUp"], [1, 3, 2, 4]),
        (["="], [1, 2, 1, 3]),
        (["ArrowDown"], [1, 3, 2, 4]),
        (["ArrowDown", "ArrowDown", "ArrowDown"], [1, 2, 4, 3]),
        (["Shift+A", "ArrowUp"], [1, 2, 4, 3]),
        (["t"], [1, 1, 3, 2]),
        (["ArrowRight", "Backspace"], [1, 0, 3, 2]),
    ]
    for keys, ranks in steps:
        stage.press(*keys)
        assert stage.ranks() == ranks


def drag(stage: Stage, place: int, rank: int) -> None:
    start = stage.card(place).locator(".handle").bounding_box()
    end = stage.find(f'.lane[data-rank="{rank}"]').bounding_box()
    assert start is not None
    assert end is not None
    mouse = stage.page.mouse
    mouse.move(start["x"] + 5, start["y"] + 8)
    mouse.down()
    mouse.move(start["x"] + 40, start["y"] + 40, steps=2)
    mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=3)
    mouse.up()


@pytest.mark.parametrize("count", COUNTS)
def test_dragging(wide_stage: Stage, count: int) -> None:
    stage = fresh(wide_stage, count)
    for place, rank in enumerate(mixed(count)):
        stage.card(place).scroll_into_view_if_needed()
        drag(stage, place, rank)
    stage.find(".submit").click()
    assert submitted(stage) == mixed(count)


def test_a_chip_is_dragged_out_and_a_drag_is_given_up(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 2).press("1", "2")
    chip = stage.find(".chip").first.bounding_box()
    assert chip is not None
    mouse = stage.page.mouse
    for escape in (True, False):
        mouse.move(chip["x"] + 9, chip["y"] + 9)
        mouse.down()
        mouse.move(chip["x"] + 9, chip["y"] - 300, steps=3)
        if escape:
            stage.press("Escape")
        mouse.up()
        assert stage.ranks() == ([1, 2] if escape else [0, 2])


def test_dense_ranks_are_sent(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 4).press("1", "4", "4", "2", "Enter")
    assert submitted(stage) == [1, 3, 3, 2]


# ---- touch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", COUNTS)
def test_touch_on_the_numbers(phone_stage: Stage, count: int) -> None:
    stage = fresh(phone_stage, count)
    for place, rank in enumerate(mixed(count)):
        stage.card(place).locator(f'.rank[data-rank="{rank}"]').tap()
    stage.find(".submit").tap()
    assert submitted(stage) == mixed(count)


def tap_steps(stage: Stage, ranks: list[int]) -> list[int]:
    """Bring each place in as the last by a phone's buttons; return the places, best first."""
    order = sorted(range(len(ranks)), key=lambda place: ranks[place])
    for index, place in enumerate(order):
        same = index > 0 and ranks[order[index - 1]] == ranks[place]
        stage.card(place).locator(f'[data-move="{"tie" if same else "worse"}"]').tap()
    return order


@pytest.mark.parametrize("count", COUNTS)
def test_touch_up_tie_down(phone_stage: Stage, count: int) -> None:
    stage = fresh(phone_stage, count)
    ranks = mixed(count)
    order = tap_steps(stage, ranks)
    assert stage.ranks() == ranks
    last = stage.card(order[-1]).locator('[data-move="better"]')
    last.tap()
    assert stage.ranks()[order[-1]] == max(ranks) - 1
    stage.card(order[-1]).locator('[data-move="worse"]').tap()
    stage.find(".submit").tap()
    assert submitted(stage) == ranks


def touch_drag(stage: Stage, place: int, rank: int) -> None:
    """Drag with a finger: real touch events, as the screen of a phone gives them."""
    start = stage.card(place).locator(".handle").bounding_box()
    end = stage.find(f'.lane[data-rank="{rank}"]').bounding_box()
    assert start is not None
    assert end is not None
    session = stage.page.context.new_cdp_session(stage.page)
    first = (start["x"] + 8, start["y"] + 20)
    last = (end["x"] + end["width"] / 2, end["y"] + end["height"] / 2)
    middle = ((first[0] + last[0]) / 2, (first[1] + last[1]) / 2)
    kinds = ["touchStart", "touchMove", "touchMove"]
    for kind, (x, y) in zip(kinds, (first, middle, last), strict=True):
        points = [{"x": x, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


@pytest.mark.parametrize("count", COUNTS)
def test_a_finger_drags(phone_stage: Stage, count: int) -> None:
    stage = fresh(phone_stage, count)
    for place, rank in enumerate(mixed(count)):
        stage.card(place).evaluate("card => card.scrollIntoView({ block: 'center' })")
        touch_drag(stage, place, rank)
    assert stage.ranks() == mixed(count)


@pytest.mark.parametrize("count", COUNTS)
def test_a_phone_is_wide_enough_and_its_targets_are_large(phone_stage: Stage, count: int) -> None:
    stage = fresh(phone_stage, count).press(*"123456789"[:count])
    assert stage.page.evaluate("document.documentElement.scrollWidth") <= 390
    small = stage.page.evaluate(
        """() => [...document.querySelector("#host").shadowRoot.querySelectorAll(
          "button, input, select, textarea, label:has(input)")].map(each => [each.className,
          each.matches("label input") ? {} : each.getBoundingClientRect()]).filter(([, box]) =>
          box.width > 0 && (box.width < 24 || box.height < 24)).map(([name]) => name)"""
    )
    assert small == [], "WCAG 2.2, 2.5.8: no target under 24 by 24"
    for selector in (".rank", ".move", ".submit", ".tool.skip", ".layouts [data-layout=focus]"):
        box = stage.find(selector).first.bounding_box()
        assert box is not None
        assert box["height"] >= 40
    assert not stage.find('.layouts [data-layout="side-by-side"]').is_visible()


# ---- layouts and differences ---------------------------------------------------------------------


def test_layouts_switch_and_are_remembered(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 4)
    first, second = (stage.card(place).bounding_box() for place in (0, 1))
    assert first is not None
    assert second is not None
    assert first["y"] == second["y"]
    stage.press("l")
    first, second = (stage.card(place).bounding_box() for place in (0, 1))
    assert first is not None
    assert second is not None
    assert first["x"] == second["x"]
    stage.find('[data-layout="focus"]').first.click()
    assert [stage.card(place).is_visible() for place in range(4)] == [True, False, False, False]
    stage.press("Shift+A", "3", "1")
    stage.find(".tab").nth(3).click()
    expect(stage.card(3)).to_be_visible()
    expect(stage.card(2)).to_be_hidden()
    expect(stage.find(".tab").nth(0)).to_contain_text("3")
    stage.show(task(texts(4), serial="after"))
    assert stage.find(".ranking").get_attribute("data-layout") == "focus"


def test_the_project_chooses_the_first_layout(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 4, layout="stacked")
    assert stage.find(".ranking").get_attribute("data-layout") == "stacked"


def test_differences_between_any_two(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 4)
    stage.press("Shift+C", "d")
    marks = stage.find(".card mark.differs")
    assert marks.all_inner_texts() == ["0 ", "2 "]
    stage.find(".pick.right").select_option("3")
    assert [stage.card(place).locator("mark").count() for place in range(4)] == [1, 0, 0, 1]
    stage.press("Shift+A")
    assert stage.card(0).locator(".text").inner_text() == texts(4)[0]
    stage.press("d")
    expect(marks).to_have_count(0)


# ---- what is sent --------------------------------------------------------------------------------


def test_what_is_empty_says_so_compared_or_not(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 2).show(task(["  ", "Something."], serial=next(_serials)))
    for _ in range(3):
        expect(stage.card(0).locator(".text")).to_have_text("(empty completion)")
        stage.press("d")
    expect(stage.card(1).locator("mark.differs")).to_have_text("Something.")


def test_one_word_in_a_long_text_is_not_called_the_same(wide_stage: Stage) -> None:
    whole = " ".join(f"word{number}" for number in range(2000))
    pair = [whole, whole.replace("word1000", "another")]
    stage = fresh(wide_stage, 2).show(task(pair, serial=next(_serials))).press("d")
    expect(stage.find(".alike")).to_have_text("99 % the same")
    stage.show(task([whole, whole], serial=next(_serials))).press("d")
    expect(stage.find(".alike")).to_have_text("100 % the same")


def test_everything_an_annotator_says_is_sent(wide_stage: Stage) -> None:
    criteria = [
        {"name": "helpful", "kind": "likert", "question": "Does it help?"},
        {"name": "harmful", "kind": "check", "question": ""},
    ]
    page = {"criteria": criteria, "strength": True, "flags": ["unsafe"], "rationale": "optional"}
    stage = fresh(wide_stage, 2, page=page)
    stage.press("2", "1", "Shift+Digit3")
    likert = stage.find(".criterion.likert [role=radiogroup]")
    likert.nth(0).get_by_role("radio", name="6").check()
    stage.find(".criterion.check [role=radiogroup]").nth(1).get_by_role("radio").first.check()
    stage.find(".flag-chip input").check()
    stage.find("#rationale").fill("B is shorter, 1 < 2")
    stage.press("Control+Enter")
    (event,) = stage.sent("submit")
    assert event.pop("milliseconds") > 0
    assert len(event.pop("nonce")) == 32
    assert event.pop("assignment") > 0
    assert event == {
        "ranks_by_place": [2, 1],
        "strength": 3,
        "likert_by_place": {"helpful": [6, None]},
        "checks_by_place": {"harmful": [None, True]},
        "flags": ["unsafe"],
        "rationale": "B is shorter, 1 < 2",
    }


def test_a_required_rationale_is_asked_for(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 2, page={"rationale": "required"})
    stage.press("1", "2", "Enter")
    assert stage.sent("submit") == []
    assert stage.page.evaluate(
        "document.querySelector('#host').shadowRoot.activeElement.id"
    ) == "rationale"  # fmt: skip


def test_skip_flag_and_undo(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 4).press("s")
    stage.page.get_by_role("button", name="Cannot judge").click()
    (skip,) = stage.sent("skip")
    assert skip["reason"] == "Cannot judge"
    stage = fresh(wide_stage, 4, chosen="zh").press("s")
    stage.page.get_by_role("button", name="无法判断").click()
    (skip,) = stage.sent("skip")
    assert skip["reason"] == "Cannot judge", "leads read one name, whatever the language"
    stage = fresh(wide_stage, 4).press("f")
    stage.page.get_by_role("button", name="Flag and go on").click()
    assert stage.sent("flag") == []
    stage.page.get_by_label("personal data").last.check()
    stage.page.get_by_placeholder("A comment").fill("a phone number")
    stage.page.get_by_role("button", name="Flag and go on").click()
    (flag,) = stage.sent("flag")
    assert (flag["flags"], flag["comment"]) == (["personal data"], "a phone number")
    stage = fresh(wide_stage, 4).press("u")
    assert len(stage.sent("undo")) == 1


def test_nothing_is_sent_before_all_are_ranked(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 4).press("1", "2", "Enter")
    expect(stage.find(".words")).to_have_text("Still to rank: C, D")
    assert stage.sent("submit") == []


def test_a_double_click_and_two_enters_send_once(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 2).press("1", "2")
    stage.find(".submit").dblclick()
    stage.press("Enter", "Enter")
    assert len(stage.sent("submit")) == 1


def test_keys_of_other_scripts_and_layouts(wide_stage: Stage) -> None:
    stage = fresh(wide_stage, 4)
    for key, code in (("&", "Digit1"), ("٣", "Digit3"), ("ы", "KeyS")):
        stage.find(".card.active").evaluate(
            "(node, [key, code]) => node.dispatchEvent(new KeyboardEvent('keydown', "
            "{ key, code, bubbles: true, composed: true, cancelable: true }))",
            [key, code],
        )
    assert stage.ranks() == [1, 3, 0, 0]
    expect(stage.page.get_by_role("dialog", name="Why skip this task?")).to_be_visible()
    stage.press("Escape")
