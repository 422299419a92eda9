"""What is read on the ranking page: texts of every kind, long ones, by every reader."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.ui.conftest import ATTACK
from tests.ui.ranking.ranking_stage import Stage, context_for, open_stage, task, texts

ARABIC = "الترتيب هو وضع الإجابات من الأفضل إلى الأسوأ.\nNext line in English."
CHINESE = "排序就是把回答从最好到最差排列。" * 30
CODE = "Before:\n```python\ndef f(x):\n\treturn  x\n\n    # four blanks\n```\nAfter `inline`."
EMOJI = "👩🏽‍🚀 👍🏿 🇨🇳 and e\u0301"
LONG = "\n\n".join(
    f"{n}. " + "The quick brown fox jumps over the lazy dog. " * 12 for n in range(190)
)
SCROLLING = "A line of a text that scrolls.\n" * 40
CRITERIA = [
    {"name": "helpful", "title": "Helpful", "kind": "likert", "question": "Does it help?"},
    {"name": "harmful", "title": "Harmful", "kind": "check", "question": ""},
]
PAGE = {
    "criteria": CRITERIA,
    "strength": True,
    "flags": ["unsafe", "other"],
    "rationale": "required",
    "rewrites": True,
}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture(scope="module")
def stage(browser: Browser) -> Iterator[Stage]:
    made = context_for(browser)
    yield open_stage(made)
    made.close()


def violations(stage: Stage, inside: str = ".ranking") -> list[str]:
    """Return what axe-core finds, as "rule: element"."""
    context = {"fromShadowDom": ["#host", inside]}
    options: dict[str, Any] = {"runOnly": {"type": "tag", "values": WCAG}}
    found = Axe().run(stage.page, context=context, options=options).response
    assert found["passes"], "axe looked at something"
    return [
        f"{each['id']}: {node['html']}" for each in found["violations"] for node in each["nodes"]
    ]


@pytest.mark.parametrize(
    ("phone", "scheme", "layout"),
    [(False, "light", "side-by-side"), (True, "dark", "stacked"), (False, "dark", "focus")],
)
def test_axe_finds_nothing(browser: Browser, phone: bool, scheme: str, layout: str) -> None:
    made = context_for(browser, phone=phone, scheme=scheme)
    stage = open_stage(made, scheme=scheme)
    news = {"version": 2, "judgments": 3}
    shown = [SCROLLING, ARABIC, CODE, "short"]
    stage.show(
        task(shown, page=PAGE, layout=layout, news=news, feedback={"id": "1", "text": "Yes."})
    )
    stage.press("Shift+A", "1", "2", "d", "Enter")
    assert violations(stage) == []
    made.close()


@pytest.mark.parametrize(
    ("key", "scheme"), [("?", "light"), ("s", "dark"), ("f", "light"), ("w", "dark")]
)
def test_axe_finds_nothing_in_the_windows(browser: Browser, key: str, scheme: str) -> None:
    made = context_for(browser, scheme=scheme)
    stage = open_stage(made, scheme=scheme)
    stage.show(task(texts(2), page=PAGE)).press(key)
    expect(stage.find("dialog[open]")).to_be_visible()
    assert violations(stage, "dialog[open]") == []
    made.close()


@pytest.mark.parametrize(
    "text", [ARABIC, CHINESE, CODE, EMOJI, ATTACK, LONG, "```\nopen", "\n\n a\n"]
)
def test_a_text_is_shown_character_by_character(stage: Stage, text: str) -> None:
    stage.show(
        task(
            [text, f"{text} other"], serial=text[:20], messages=[{"role": "user", "content": text}]
        )
    )
    for body in (stage.card(0).locator(".text"), stage.find(".prompt .text")):
        assert body.evaluate("node => node.textContent") == text
    stage.press("d")
    assert stage.card(0).locator(".text").evaluate("node => node.textContent") == text
    assert stage.find(".ranking :is(img, script, strong)").count() == 0
    assert stage.page.evaluate("window.hacked") is None


def test_each_paragraph_has_its_own_direction(stage: Stage) -> None:
    stage.show(task([ARABIC, "x"], serial="arabic"))
    sides = (
        stage.card(0)
        .locator(".text")
        .evaluate(
            """node => {
          const text = node.firstChild.firstChild;
          return [0, text.data.indexOf("Next")].map(at => {
            const range = document.createRange();
            range.setStart(text, at);
            range.setEnd(text, at + 1);
            const box = range.getBoundingClientRect();
            const whole = node.getBoundingClientRect();
            return box.left - whole.left > whole.width / 2;
          });
        }"""
        )
    )
    assert sides == [True, False], "Arabic starts at the right, English at the left"


def test_the_page_itself_can_run_from_right_to_left(stage: Stage) -> None:
    stage.show(task(texts(2), serial="rtl") | {"direction": "rtl"})
    first, second = (stage.card(place).bounding_box() for place in (0, 1))
    assert first is not None
    assert second is not None
    assert first["x"] > second["x"]


def test_code_keeps_its_white_space(stage: Stage) -> None:
    stage.show(task([CODE, "x"], serial="code"))
    block = stage.card(0).locator("pre")
    assert block.inner_text() == "```python\ndef f(x):\n\treturn  x\n\n    # four blanks\n```\n"
    assert "mono" in block.evaluate("node => getComputedStyle(node).fontFamily").lower()
    assert block.get_attribute("dir") == "ltr"


def test_every_word_is_chinese_where_chinese_is_asked_for(stage: Stage) -> None:
    stage.show(task(texts(4), serial="zh", chosen="zh", page=PAGE))
    stage.press("1")
    assert stage.find(".words").inner_text().startswith("A")
    assert stage.said().startswith("A 现为第一名")
    seen = stage.find(".toolbar").inner_text() + stage.find(".submit").inner_text()
    assert not any(word in seen for word in ("Undo", "Skip", "Submit", "today"))


def test_no_text_is_missing_from_the_language_file(stage: Stage) -> None:
    stage.show(task(texts(9), serial="all", page=PAGE, news={"version": 9, "judgments": 1}))
    stage.press(*"123456789", "d", "?")
    seen = stage.page.evaluate(
        """() => [...document.querySelector("#host").shadowRoot.querySelectorAll(".ranking *")]
          .flatMap(each => [each.getAttribute("aria-label"), each.title, each.placeholder,
          ...[...each.childNodes].filter(node => node.nodeType === 3).map(node => node.data)])"""
    )
    words = task(texts(2))["words"]
    keys = {key.partition("#")[0] for key in words}
    assert [text for text in seen if text in keys and text not in words.values()] == []
    assert [text for text in seen if text and "{" in text] == []
    stage.press("Escape")


# ---- the keyboard and the screen reader ----------------------------------------------------------


def test_changes_are_announced(stage: Stage) -> None:
    stage.show(task(texts(4), serial="said"))
    stage.press("Shift+B", "1")
    assert stage.said() == "B is now first. Still to rank: A, C, and D."
    stage.press("1")
    assert stage.said() == "C is now first, tied with B. Still to rank: A and D."
    stage.press("4", "3")
    assert stage.said() == "A is now second. All are ranked."
    stage.press("Shift+C", "0")
    assert stage.said() == "C is not ranked. Still to rank: C."


def test_the_tab_key_reaches_everything_in_few_steps(stage: Stage) -> None:
    stage.show(task(texts(9), serial="tab", page={**PAGE, "criteria": []}))
    stage.find(".layouts button").first.focus()
    reached = []
    for _ in range(60):
        focused = stage.page.evaluate(
            """(active => active ? active.className || active.localName : "out")(
              document.querySelector("#host").shadowRoot.activeElement)"""
        )
        if focused == "out":
            break
        reached.append(focused.split()[0])
        stage.press("Tab")
    assert reached.count("card") == 9
    assert reached.count("rank") == 9, "one stop for the numbers of a card"
    assert len(reached) < 50


def test_focus_is_seen(stage: Stage) -> None:
    stage.show(task(texts(4), serial="focus"))
    for selector in (".tool.skip", ".layouts button", ".rank"):
        stage.find(selector).first.focus()
        stage.press("Tab", "Shift+Tab")
        style = stage.find(selector).first.evaluate("node => getComputedStyle(node).outlineStyle")
        assert style == "solid", selector


def test_the_help_lists_every_key(stage: Stage) -> None:
    stage.show(task(texts(2), serial="help", page=PAGE)).press("?")
    dialog = stage.page.get_by_role("dialog", name="How to rank")
    expect(dialog).to_be_visible()
    shown = dialog.locator("kbd").all_inner_texts()
    assert {"↑", "↓", "T", "Enter", "L", "D", "W", "S", "F", "U", "?"} <= set(shown)
    stage.press("1", "Escape")
    expect(dialog).to_be_hidden()
    assert stage.ranks() == [0, 0]


def test_keys_in_a_field_are_text(stage: Stage) -> None:
    stage.show(task(texts(2), serial="field", page=PAGE)).press("n")
    stage.page.keyboard.type("1 s d ?")
    expect(stage.find("#rationale")).to_have_value("1 s d ?")
    assert stage.ranks() == [0, 0]
    stage.press("Escape", "2")
    assert stage.ranks() == [2, 0]


def test_reduced_motion_means_no_transition(browser: Browser) -> None:
    made = context_for(browser, reduced_motion="reduce")
    stage = open_stage(made).show(task(texts(2)))
    assert stage.card(0).evaluate("node => getComputedStyle(node).transitionDuration") == "0s"
    made.close()


# ---- long texts ----------------------------------------------------------------------------------


def test_nine_texts_of_100_kb_answer_a_key_at_once(browser: Browser) -> None:
    made = context_for(browser)
    stage = open_stage(made)
    shown = [f"Completion {n}.\n\n{LONG}" for n in range(9)]
    assert min(map(len, shown)) > 100_000
    stage.page.evaluate("data => { window.long = data }", json.dumps(task(shown)))
    stage.page.evaluate("window.stage.show(window.long)")
    times = stage.page.evaluate(
        """async () => {
          const times = [];
          for (const key of "123456789") {
            const start = performance.now();
            const target = document.querySelector("#host").shadowRoot.querySelector(".card");
            target.dispatchEvent(new KeyboardEvent("keydown", { key, code: `Digit${key}`,
              bubbles: true, composed: true, cancelable: true }));
            await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
            times.push(performance.now() - start);
          }
          return times;
        }"""
    )
    assert stage.ranks() == list(range(1, 10))
    assert sorted(times)[4] < 200, times
    made.close()


def test_a_long_text_scrolls_inside_its_card_and_opens(stage: Stage) -> None:
    stage.show(task([LONG, "short"], serial="long"))
    body = stage.card(0).locator(".text")
    more = stage.card(0).locator(".more")
    expect(more).to_be_visible()
    expect(stage.card(1).locator(".more")).to_be_hidden()
    assert body.evaluate("node => node.clientHeight") < 600
    body.focus()
    stage.press("ArrowDown", "PageDown")
    stage.page.wait_for_function(
        "document.querySelector('#host').shadowRoot.querySelector('.card .text').scrollTop > 0"
    )
    assert stage.ranks() == [0, 0], "the arrows scroll a text that has the focus"
    more.click()
    assert body.evaluate("node => node.clientHeight") > 5000
    assert more.get_attribute("aria-expanded") == "true"
    stage.press("x")
    assert body.evaluate("node => node.clientHeight") < 600


@pytest.mark.parametrize("phone", [False, True])
def test_the_next_task_is_read_from_its_prompt_on(browser: Browser, phone: bool) -> None:
    made = context_for(browser, phone=phone)
    stage = open_stage(made).show(task([SCROLLING * 3] * 4, layout="stacked"))
    stage.card(3).scroll_into_view_if_needed()
    prompt = stage.find(".prompt")
    expect(prompt).not_to_be_in_viewport()
    stage.show(task([SCROLLING * 3] * 4, serial="2", assignment=2, layout="stacked"))
    expect(prompt).to_be_in_viewport(ratio=1)
    expect(stage.card(0)).to_be_in_viewport()
    made.close()
