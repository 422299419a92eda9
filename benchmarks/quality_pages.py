"""How fast the leads' pages are with many judgments: real server, real browser.

    python -m benchmarks.quality_pages --judgments 100000 --judgments 1000000

Each page is loaded right after the server has started on a home that no server has seen (first),
right after it was started again (cold), three times with its figures kept (warm: the median), and
after new judgments have come, so that newer figures are wanted (grown). A load is timed from the
request until the page's last chart or table is painted; beside it the CPU seconds of the server's
processes. The data are `benchmarks.quality_rows`.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import Engine

from benchmarks.pages import Server
from benchmarks.quality_rows import COPIES, Size, fill
from labeling.accounts import create_account
from storage.engine import build_engine, writing
from storage.migrate import upgrade
from storage.settings import load_settings
from storage.tables import Role
from tests.chromium import find_chromium

PAGES = ("", "agreement", "annotators", "review", "all-judgments", "throughput", "rounds")
NAME, PASSWORD = "reader", "correct horse battery staple"
WARM_LOADS = 3
NEW_JUDGMENTS = 20
# Painted: nothing is running, no skeleton is left, and every chart and table has its canvas.
PAINTED = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  if (!app || app.dataset.testScriptState !== 'notRunning') return false;
  if (document.querySelector('[data-testid=stSkeleton], [data-stale=true]')) return false;
  if (!document.querySelector('[data-testid=stMainBlockContainer] h1')) return false;
  const drawn = [...document.querySelectorAll(
    '[data-testid=stVegaLiteChart], [data-testid=stDataFrame]')];
  return drawn.every((each) => each.querySelector('canvas, svg.marks'));
}"""


def main(arguments: Sequence[str] | None = None) -> list[str]:
    """Fill a home of each size, measure, print and return the lines of the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--judgments", type=int, action="append")
    parser.add_argument("--home", type=Path, help="a home filled before; it is changed")
    given = parser.parse_args(arguments)
    lines = [
        "| page | judgments | first | cold | warm | grown |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for judgments in given.judgments or [100_000]:
        with TemporaryDirectory() as folder:
            home = given.home or Path(folder) / "home"
            home.mkdir(exist_ok=True)
            if given.home is None:
                _fill(home, judgments)
            lines += _measure(home, judgments)
    print("\n".join(lines))
    return lines


def _fill(home: Path, judgments: int) -> None:
    engine = build_engine(load_settings(home=home).url)
    upgrade(engine)
    fill(engine, Size(judgments))
    engine.dispose()


@dataclass(frozen=True)
class Load:
    """What one load of a page took: wall seconds, and CPU seconds of the server's processes."""

    seconds: float
    cpu: float


Loads = dict[str, list[Load]]


def _measure(home: Path, judgments: int) -> list[str]:
    engine = build_engine(load_settings(home=home).url)
    with writing(engine) as session:
        create_account(session, name=NAME, role=Role.LEAD, password=PASSWORD)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
            )
            first = _after_a_start(home, browser, engine, warm_loads=0)
            later = _after_a_start(home, browser, engine, warm_loads=WARM_LOADS)
            browser.close()
    finally:
        engine.dispose()
    return [_line(page, judgments, first[page] + later[page]) for page in PAGES]


def _after_a_start(home: Path, browser: Browser, engine: Engine, *, warm_loads: int) -> Loads:
    """Return the loads of each page: the first, `warm_loads` more, and then one with new data."""
    found: Loads = {page: [] for page in PAGES}
    server = Server(home)
    try:
        server.wait_for_page()
        page = _signed_in(browser.new_page(viewport={"width": 1440, "height": 900}), server.url)
        for _ in range(1 + warm_loads):
            for name in PAGES:
                found[name].append(_load(page, server, name))
        for name in PAGES if warm_loads else ():
            with writing(engine) as session:
                session.connection().exec_driver_sql(COPIES, (NEW_JUDGMENTS,))
            found[name].append(_load(page, server, name))
        page.close()
    finally:
        server.stop()
    return found


def _signed_in(page: Page, url: str) -> Page:
    page.set_default_timeout(1_200_000)
    page.goto(f"{url}/login?next=%2Fguidelines")
    page.fill("#name", NAME)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_function(PAINTED)
    return page


def _load(page: Page, server: Server, name: str) -> Load:
    before, began = _cpu_seconds(server), time.monotonic()
    page.goto(f"{server.url}/{name}")
    page.wait_for_function(PAINTED)
    return Load(time.monotonic() - began, _cpu_seconds(server) - before)


def _cpu_seconds(server: Server) -> float:
    process = psutil.Process(server.process.pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _line(name: str, judgments: int, loads: list[Load]) -> str:
    first, cold, *warm, grown = loads
    middle = Load(
        statistics.median(one.seconds for one in warm), statistics.median(one.cpu for one in warm)
    )
    cells = " | ".join(
        f"{one.seconds:.1f} s ({one.cpu:.1f})" for one in (first, cold, middle, grown)
    )
    return f"| {name or 'overview'} | {judgments:,} | {cells} |"


if __name__ == "__main__":
    main()
