"""The ranking component alone in a real browser: what it is given, what it sends, what is seen.

The component is mounted as Streamlit mounts it (a shadow root, the theme's variables, triggers),
without a server, so that many tests take seconds.
"""

import json
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route

from ui.components import ranking
from ui.components.ranking import served
from ui.languages import words_for
from ui.web import theme

ADDRESS = "http://stage.test/"
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PAGE_SETTINGS: dict[str, Any] = {
    "criteria": [],
    "strength": True,
    "flags": ["unsafe", "personal data", "not understandable", "other"],
    "rationale": "optional",
    "rewrites": True,
}
MOUNT = """
const host = document.querySelector("#host");
const shadow = host.attachShadow({ mode: "open" });
window.sent = [];
window.stage = {
  async start({ html, js }) {
    shadow.innerHTML = html;
    const source = URL.createObjectURL(new Blob([js], { type: "text/javascript" }));
    this.component = (await import(source)).default;
  },
  show(data) {
    this.cleanup?.();
    this.cleanup = this.component({
      data: JSON.parse(data),
      parentElement: shadow,
      setTriggerValue: (name, value) => window.sent.push([name, JSON.parse(JSON.stringify(value))]),
    });
  },
};
"""


def _css_name(option: str) -> str:
    return "--st-" + "".join(f"-{each.lower()}" if each.isupper() else each for each in option)


def stage_html(scheme: str) -> str:
    colours = theme.DARK if scheme == "dark" else theme.LIGHT
    variables = "; ".join(f"{_css_name(name)}: {value}" for name, value in colours.items())
    return (
        '<!doctype html><html lang="en"><head><title>Stage</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>html {{ color-scheme: {scheme} }} body {{ margin: 0; "
        f"background: {colours['backgroundColor']} }} main {{ max-width: 80rem; margin: auto; "
        "padding: 1.5rem 1rem; }</style></head>"
        '<body data-test-connection-state="CONNECTED"><main><h1 hidden>Stage</h1>'
        f'<div id="host" style="{variables}; --st-font: Source Sans, system-ui, sans-serif"></div>'
        f'</main><script type="module">{MOUNT}</script></body></html>'
    )


def task(completions: list[str], **values: Any) -> dict[str, Any]:
    """Return what Python gives the component for a task with these completions."""
    words = words_for(None, values.pop("chosen", None))
    return {
        "serial": "1",
        "assignment": 1,
        "messages": [{"role": "user", "content": "What is a ranking?"}],
        "completions": completions,
        "layout": "side-by-side",
        "page": PAGE_SETTINGS,
        "draft": None,
        "words": words.texts,
        "language": words.language,
        "direction": words.direction,
        "today": 3,
        "total": 12,
        "news": None,
        "can_undo": True,
        "refusal": None,
        "feedback": None,
        "done": None,
        "guideline_version": 1,
        **values,
    }


def texts(count: int) -> list[str]:
    return [f"Completion number {number} says something of its own." for number in range(count)]


@dataclass
class Stage:
    """One page with the component on it."""

    page: Page

    def show(self, data: dict[str, Any]) -> "Stage":
        self.page.evaluate("data => window.stage.show(data)", json.dumps(data))
        return self

    def sent(self, name: str | None = None) -> list[Any]:
        """Return the values sent under `name`; without one, all as [name, value]."""
        found: list[Any] = self.page.evaluate("window.sent")
        return [value for each, value in found if each == name] if name else found

    def press(self, *keys: str) -> "Stage":
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def card(self, place: int) -> Locator:
        return self.page.locator(".card").nth(place)

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def ranks(self) -> list[int]:
        """Return the ranks by place as the page shows them, 0 for none."""
        found: list[int] = self.page.evaluate(
            """() => [...document.querySelector("#host").shadowRoot.querySelectorAll(".card")]
              .map(card => card.querySelector('.rank[aria-pressed="true"]'))
              .map(button => Number(button?.dataset.rank ?? 0))"""
        )
        return found

    def connection(self, state: str) -> None:
        self.page.evaluate(
            "state => document.body.setAttribute('data-test-connection-state', state)", state
        )

    def said(self) -> str:
        return self.page.locator(".unseen").inner_text()


def open_stage(context: BrowserContext, *, scheme: str = "light") -> Stage:
    page = context.new_page()

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/html", body=stage_html(scheme))

    page.route(f"{ADDRESS}**", answer)
    page.goto(ADDRESS)
    load(page)
    return Stage(page)


def load(page: Page) -> None:
    """Load the component's code into a page that has just been opened or reloaded."""
    parts = {"html": ranking.HTML, "js": served.module()}
    page.evaluate("parts => window.stage.start(parts)", parts)


def context_for(
    browser: Browser, *, phone: bool = False, scheme: str = "light", **options: Any
) -> BrowserContext:
    made = browser.new_context(
        viewport=PHONE if phone else WIDE,  # type: ignore[arg-type]
        has_touch=phone,
        is_mobile=phone,
        color_scheme="dark" if scheme == "dark" else "light",
        **options,
    )
    made.set_default_timeout(10_000)
    return made
