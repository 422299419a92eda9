"""How long a new annotator waits for the first task, by network: from the sign-in to its cards.

    python -m benchmarks.first_page

A browser that was never here opens the sign-in page, somebody types, the first task is painted. In
turns: as Streamlit serves its scripts (the browser takes nothing packed), packed and signed in at
once, packed and signed in after some seconds, in which they are fetched ahead.
"""

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from benchmarks.pages import PASSWORD, Server, fill
from benchmarks.readme import put
from benchmarks.slow_link import Network, slow_link
from tests.chromium import find_chromium

NETWORKS = (
    Network("none between", 1e9, 1e9, 0.0),
    Network("9 Mbit/s, 60 ms", 9e6, 4e6, 0.06),
    Network("1.6 Mbit/s, 150 ms", 1.6e6, 0.75e6, 0.15),
)
DOCS = Path(__file__).parents[1] / "docs" / "labeling-speed.md"
TYPING_SECONDS = 8.0
UNPACKED = {"accept-encoding": "identity"}
PATIENCE_MS = 180_000


def main() -> list[str]:
    """Measure each network in turn and return the lines of the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.first_page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    given = parser.parse_args()
    lines = [
        "| network | as Streamlit serves them | packed | packed, and "
        f"{TYPING_SECONDS:.0f} s to type |",
        "| --- | --- | --- | --- |",
    ]
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder) / "home"
        fill(home, 10)
        server = Server(home)
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            server.wait_for_page()
            lines += [_line(browser, server, network, given.repeats) for network in NETWORKS]
        finally:
            browser.close()
            server.stop()
    print("\n".join(lines))
    if given.docs:
        put("first-page", "\n".join(lines), file=DOCS)
    return lines


def _line(browser: Browser, server: Server, network: Network, repeats: int) -> str:
    times: list[list[float]] = [[], [], []]
    with slow_link(server.port, network) as port:
        for _ in range(repeats):
            times[0].append(_first_task(browser, port, UNPACKED, 0.0))
            times[1].append(_first_task(browser, port, {}, 0.0))
            times[2].append(_first_task(browser, port, {}, TYPING_SECONDS))
    cells = " | ".join(f"{statistics.median(each):.1f} s" for each in times)
    print(network.name, [[round(one, 1) for one in each] for each in times], flush=True)
    return f"| {network.name} | {cells} |"


def _first_task(browser: Browser, port: int, headers: dict[str, str], typing: float) -> float:
    """Return the seconds from the click on "Sign in" to the cards of the first task."""
    context = browser.new_context(extra_http_headers=headers)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/login")
    page.fill("#name", "ada")
    time.sleep(typing)
    page.fill("#password", PASSWORD)
    began = time.monotonic()
    page.click("button[type=submit]")
    page.locator(".ranking .card").nth(1).wait_for()
    seconds = time.monotonic() - began
    context.close()
    return seconds


if __name__ == "__main__":
    main()
