"""Take the pictures of the ranking page: 2, 4 and 9 completions, wide and phone, light and dark.

It makes a folder of its own with three tasks, starts `rankloop serve` on it, and signs in as one
annotator for each size and colour scheme. Launch: python -m docs.take_ranking_screenshots [FOLDER]
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from sqlmodel import Session

from labeling.accounts import create_account
from labeling.imports.prompts import content_sha256
from labeling.labeling_settings import change_labeling
from labeling.policies import create_first_policy
from labeling.projects import create_project
from labeling.work_queue.tasks import NewCompletion, add_task
from storage.engine import build_engine, writing
from storage.migrate import upgrade
from storage.settings import load_settings
from storage.tables import Project, Prompt, Role, Split
from tests.chromium import find_chromium

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
PASSWORD = "only for the pictures"
SETTLE_MS = 900
QUESTION = "Explain in a few sentences why people rank answers instead of giving each one a mark."
FIRST = (
    "Marks drift. The seven that you give in the morning is not the seven of the afternoon, and "
    "it is never the seven of a colleague. Which of two answers is better is a question that most "
    "people answer the same way twice.\n\nSo one asks for an order, and a model learns a score "
    "that explains it."
)
SECOND = (
    "Marks drift. The seven that you give in the morning is rarely the seven of the afternoon. "
    "Which of two answers is better is a question that most people answer the same way twice, "
    "and quickly.\n\nSo one asks for an order; a model then learns a score that explains it:\n\n"
    "```python\ndef loss(better, worse):\n    return -logsigmoid(better - worse)\n```"
)
OTHERS = (
    "People rank because ranking is easier than marking.",
    "Ranking forces a choice. With marks, everything ends up between six and eight, and nobody "
    "can say any more what the difference between a six and a seven was meant to be.",
    "Good question! Ranking is when you rank things. There are many reasons why people rank "
    "things, and ranking things is one of them.",
    "1. Comparisons are more stable than marks.\n2. They need no scale that all must share.\n"
    "3. Ties are allowed where two answers are equally good.",
    "I am not sure, but I believe it is because marks are expensive.",
    "Because the loss of a reward model is written for pairs: the logarithm of the probability "
    "that the preferred answer has the higher score.",
    "Answers are ranked so that they can be sorted from A to Z.",
)
TASKS = {2: (FIRST, SECOND), 4: (FIRST, SECOND, *OTHERS[:2]), 9: (FIRST, SECOND, *OTHERS)}


def main() -> None:
    """Write the pictures into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).parent / "screenshots" / "ranking"
    parser.add_argument("folder", nargs="?", type=Path, default=here)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        prepare(Path(home))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "ui.cli", "--home", home, "serve"],
            env={**os.environ, "RANKLOOP_PORT": str(port)},
        )
        try:
            take_all(f"http://127.0.0.1:{port}", folder)
        finally:
            server.terminate()
            server.wait(20)


def prepare(home: Path) -> None:
    """Fill a new home with one task of each size and an annotator for each picture's settings."""
    settings = load_settings(home=home)
    upgrade(settings.url)
    engine = build_engine(settings.url)
    with writing(engine) as session:
        project = create_project(session, name="default", settings=settings)
        project.overlap = len(SIZES) * len(SCHEMES)
        change_labeling(
            session, project=project, by=None, section="page", values={"rationale": "optional"}
        )
        for number, texts in enumerate(TASKS.values()):
            add_ranking(session, project, number, texts)
        for size in SIZES:
            for scheme in SCHEMES:
                name = f"{size}-{scheme}"
                create_account(session, name=name, role=Role.ANNOTATOR, password=PASSWORD)
    engine.dispose()


def add_ranking(session: Session, project: Project, number: int, texts: tuple[str, ...]) -> None:
    """Add one task with these completions."""
    assert project.id is not None
    messages = [{"role": "user", "content": QUESTION + " " * number}]
    prompt = Prompt(
        project_id=project.id,
        messages=messages,
        content_sha256=content_sha256(messages),
        split=Split.TRAIN,
    )
    session.add(prompt)
    policy = session.info.get("policy") or create_first_policy(
        session, project_id=project.id, name="tiny", checkpoint_uri="models/tiny"
    )
    session.info["policy"] = policy
    session.flush()
    assert prompt.id is not None
    assert policy.id is not None
    completions = [
        NewCompletion(text=text, sampling={}, seed=0, finish_reason="stop", token_count=9)
        for text in texts
    ]
    add_task(
        session,
        project=project,
        prompt_id=prompt.id,
        policy_id=policy.id,
        completions=completions,
    )


def take_all(url: str, folder: Path) -> None:
    """Wait for the server, then go through sizes and colour schemes."""
    for _ in range(600):
        with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=5):
            break
        time.sleep(0.2)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for size in SIZES:
            for scheme in SCHEMES:
                take(browser, url, folder, size, scheme)
        browser.close()


def take(browser: Browser, url: str, folder: Path, size: str, scheme: str) -> None:
    """Sign in and take the pictures of the three tasks, skipping each after its picture."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=size == "phone",
        is_mobile=size == "phone",
    )
    context.set_default_timeout(90_000)
    page = context.new_page()
    page.goto(f"{url}/")
    page.fill("#name", f"{size}-{scheme}")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")

    def picture(name: str) -> None:
        page.wait_for_timeout(SETTLE_MS)
        page.screenshot(path=folder / f"{name}-{size}-{scheme}.png")

    for count in TASKS:
        page.locator(f".ranking[data-count='{count}'] .card").nth(count - 1).wait_for()
        page.wait_for_timeout(SETTLE_MS)
        rank(page, count)
        picture(f"rank-{count}")
        SPECIAL.get(count, lambda *_: None)(page, picture)
        page.keyboard.press("s")
        page.get_by_role("button", name="Cannot judge").click()
    context.close()


def rank(page: Page, count: int) -> None:
    """Rank some completions, a tie among them, and go back to the top of the page."""
    for key in {2: "21", 4: "212", 9: "21323"}[count]:
        page.keyboard.press(key)
    to_the_top(page)


def to_the_top(page: Page) -> None:
    """Scroll Streamlit's page, which scrolls inside the window."""
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")


def of_two(page: Page, picture: Callable[[str], None]) -> None:
    """Take the differences between two completions, and the notes below them."""
    page.keyboard.press("d")
    to_the_top(page)
    picture("differences")
    page.keyboard.press("d")
    page.locator("#rationale").fill("B says the same in fewer words, and its loss is right.")
    page.locator(".strength input").nth(1).check()
    page.locator(".notes").scroll_into_view_if_needed()
    picture("answers")
    page.keyboard.press("Escape")


def of_four(page: Page, picture: Callable[[str], None]) -> None:
    """Take the help, and one completion at a time."""
    page.keyboard.press("?")
    picture("keys")
    page.keyboard.press("Escape")
    page.locator('[data-layout="focus"]').first.click()
    to_the_top(page)
    picture("focus")
    page.keyboard.press("l")


SPECIAL: dict[int, Callable[[Page, Callable[[str], None]], None]] = {2: of_two, 4: of_four}

if __name__ == "__main__":
    main()
