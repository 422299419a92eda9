"""How fast the leads' pages are with many judgments: real server, real browser.

    python -m benchmarks.quality_pages --judgments 100000 --judgments 1000000

Each page is loaded three times: first right after the server has started, when its figures are
measured for the first time (cold); then with them kept (warm: the median); then after new judgments
have come, so that newer figures are wanted (grown). A load is timed from the request until the
page's last chart or table is painted. The data are `benchmarks.quality_rows`.
"""

import argparse
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from benchmarks.pages import Server
from benchmarks.quality_rows import Size, fill
from labeling.accounts import create_account
from storage.engine import build_engine, writing
from storage.migrate import upgrade
from storage.settings import load_settings
from storage.tables import Role

PAGES = ("", "agreement", "annotators", "all-judgments", "throughput", "rounds")
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
    lines = ["| page | judgments | cold | warm | grown |", "| --- | --- | --- | --- | --- |"]
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


def _measure(home: Path, judgments: int) -> list[str]:
    engine = build_engine(load_settings(home=home).url)
    with writing(engine) as session:
        create_account(session, name=NAME, role=Role.LEAD, password=PASSWORD)
    found: dict[str, list[float]] = {page: [] for page in PAGES}
    server = Server(home)
    try:
        server.wait_for_page()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = _signed_in(browser.new_page(viewport={"width": 1440, "height": 900}), server.url)
            for _ in range(1 + WARM_LOADS):
                for name in PAGES:
                    found[name].append(_load(page, f"{server.url}/{name}"))
            for name in PAGES:
                with writing(engine) as session:
                    session.connection().exec_driver_sql(COPIES, (NEW_JUDGMENTS,))
                found[name].append(_load(page, f"{server.url}/{name}"))
            browser.close()
    finally:
        server.stop()
        engine.dispose()
    return [_line(name, judgments, seconds) for name, seconds in found.items()]


# The newest judgments once more, as corrections that supersede them.
COPIES = """
INSERT INTO judgment (project_id, task_id, assignment_id, annotator_id, ranks, likert, checks,
  flags, rationale, milliseconds, marks, guideline_version, display_order, nonce, supersedes_id,
  created_at)
SELECT project_id, task_id, assignment_id, annotator_id, ranks, likert, checks, flags, rationale,
  milliseconds, marks, guideline_version, display_order, nonce || '+', id, created_at
FROM judgment ORDER BY id DESC LIMIT ?
"""


def _signed_in(page: Page, url: str) -> Page:
    page.set_default_timeout(1_200_000)
    page.goto(f"{url}/login?next=%2Fguidelines")
    page.fill("#name", NAME)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_function(PAINTED)
    return page


def _load(page: Page, address: str) -> float:
    began = time.monotonic()
    page.goto(address)
    page.wait_for_function(PAINTED)
    return time.monotonic() - began


def _line(name: str, judgments: int, seconds: list[float]) -> str:
    cold, *warm = seconds[:-1]
    middle = statistics.median(warm)
    return (
        f"| {name or 'overview'} | {judgments:,} | {cold:.1f} s | {middle:.1f} s "
        f"| {seconds[-1]:.1f} s |"
    )


if __name__ == "__main__":
    main()
