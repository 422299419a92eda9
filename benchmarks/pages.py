"""How fast the pages are: the server's first page, and from submit to the next task painted.

    python -m benchmarks.pages

The server runs as people run it, on a home whose tasks are stored directly: no model is needed. The
time from submit is taken from the key press to the first frame that shows the next task, the way
through the browser's debugging protocol included.
"""

import os
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from benchmarks.measured_process import rankloop
from labeling.accounts import create_account
from labeling.imports.prompts import add_starter_prompts
from labeling.keys import key_of
from labeling.policies import create_first_policy
from labeling.projects import create_project
from labeling.work_queue.tasks import NewCompletion, add_task, prompts_to_answer
from storage.engine import build_engine, writing
from storage.migrate import upgrade
from storage.settings import load_settings
from storage.tables import Role
from tests.chromium import find_chromium

SUBMITS = 30
STARTS = 5
PASSWORD = "correct horse battery staple"
# The assignment that the ranking component shows; it lives in a shadow root.
SHOWN = (
    "[...document.querySelectorAll('*')].map(each => each.shadowRoot?.querySelector('.ranking'))"
    ".find(Boolean)?.dataset.assignment"
)


def main() -> list[str]:
    """Measure and return the lines of the table."""
    with TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        fill(home, SUBMITS + 10)
        starts = [_time_start(home) for _ in range(STARTS)]
        submits = _time_submits(home)
    return [
        f"| `rankloop serve`: start to first page, median of {STARTS} | "
        f"{statistics.median(starts):.1f} s | under 5 s | a Python that imports streamlit: "
        f"{_floor_of_start():.1f} s |",
        f"| submit to next task painted, median of {SUBMITS} | {statistics.median(submits):.0f} ms"
        f" | under 400 ms | one frame: 17 ms |",
        f"| the same, 95th percentile | {percentile(submits, 0.95):.0f} ms | | |",
    ]


def fill(home: Path, tasks: int) -> None:
    """Make a home with an annotator and so many tasks of four completions."""
    home.mkdir()
    settings = load_settings(home=home)
    engine = build_engine(settings.url)
    upgrade(engine)
    with writing(engine) as session:
        project = create_project(session, name="default", settings=settings)
        add_starter_prompts(session, project=project, heldout_share=0.1)
        policy = create_first_policy(
            session, project_id=key_of(project), name="none", checkpoint_uri="none"
        )
        create_account(session, name="ada", role=Role.ANNOTATOR, password=PASSWORD)
        prompts = prompts_to_answer(
            session,
            project_id=key_of(project),
            policy_id=key_of(policy),
            count=tasks,
            seed=0,
        )
        for prompt in prompts:
            texts = [f"Answer {number} to the question. " * (number + 2) for number in range(4)]
            add_task(
                session,
                project=project,
                prompt_id=key_of(prompt),
                policy_id=key_of(policy),
                completions=[NewCompletion(text, {}, 0, "stop", 20) for text in texts],
            )
    engine.dispose()


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """`rankloop serve` on a free port."""

    def __init__(self, home: Path, *, port: int | None = None, **settings: str) -> None:
        """Start it; `wait_for_page` says when it answers. `settings` are those of the process."""
        self.port = port or free_port()
        more = {f"RANKLOOP_{name.upper()}": value for name, value in settings.items()}
        more |= {"RANKLOOP_HOME": str(home), "RANKLOOP_PORT": str(self.port)}
        environment = {**os.environ, **more}
        self.url = f"http://127.0.0.1:{self.port}"
        self.began = time.monotonic()
        self.log = home / "serve.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                rankloop("serve"), env=environment, stdout=subprocess.DEVNULL, stderr=log
            )

    def wait_for_page(self) -> float:
        """Return the seconds from the start to the first page."""
        while self.process.poll() is None and time.monotonic() - self.began < 60:
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/login", timeout=1) as page:
                if page.status == 200:
                    return time.monotonic() - self.began
            time.sleep(0.02)
        if self.process.poll() is None:
            raise SystemExit("The server gave no page within a minute.")
        raise SystemExit(f"The server ended at its start: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _time_start(home: Path) -> float:
    server = Server(home)
    try:
        seconds = server.wait_for_page()
        maps = Path(f"/proc/{server.process.pid}/maps")
        if maps.exists() and "libtorch" in maps.read_text():
            raise SystemExit("The web process has loaded torch.")
        return seconds
    finally:
        server.stop()


def _floor_of_start() -> float:
    import sys

    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import streamlit"], check=True)
    return time.monotonic() - began


def _time_submits(home: Path) -> list[float]:
    server = Server(home)
    try:
        with ranking_page(server) as page:
            return [submit(page) for _ in range(SUBMITS)]
    finally:
        server.stop()


def has_browser() -> bool:
    """Say whether there is a Chromium, the system's or playwright's own."""
    return find_chromium() is not None


@contextmanager
def ranking_page(server: Server) -> Iterator[Page]:
    """Open the ranking page as an annotator, caches on both sides warm."""
    server.wait_for_page()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{server.url}/")
        page.fill("#name", "ada")
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.locator(".ranking .card").nth(3).wait_for()
        submit(page)
        yield page
        browser.close()


def submit(page: Page) -> float:
    """Rank and submit; return the milliseconds until the next task is painted."""
    for rank in "1234":
        page.keyboard.press(rank)
    page.wait_for_timeout(300)
    before = page.evaluate(SHOWN)
    began = time.perf_counter()
    page.keyboard.press("Enter")
    # Looked at once a frame, so what is found has been painted.
    page.wait_for_function(f"() => {{ const now = {SHOWN}; return now && now !== '{before}'; }}")
    milliseconds = 1000 * (time.perf_counter() - began)
    page.wait_for_timeout(100)
    return milliseconds


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values stay below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    print("\n".join(main()))
