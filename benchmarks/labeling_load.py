"""300 annotators at the real server, one submit each 5 s: from submit to the next task.

    python -m benchmarks.labeling_load

The server is `rankloop serve` in a process of its own, on SQLite and then on PostgreSQL (both as
they are delivered: every commit is on disk). One process plays all annotators: each signs in by the
form and keeps a Streamlit websocket open. The time runs from the submit's bytes leaving that
process to the last byte of the answer that shows the next task. Who submits when is drawn
beforehand, so a slow answer does not thin out the load.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import aiohttp
import psutil

from benchmarks import readme
from benchmarks.labeling_floors import commit_floor
from benchmarks.labeling_stage import COMPLETIONS, fill, position_of, settings_of
from benchmarks.page_session import PageLost, PageSession, sign_in
from benchmarks.pages import PASSWORD, Server, percentile
from tests.postgres_cluster import PostgresCluster, find_binaries

DOCS = Path(__file__).parent.parent / "docs" / "labeling-speed.md"
WANTED = {"SQLite": 150, "PostgreSQL": 200}  # milliseconds, 95th percentile
JITTER = 0.5  # of the pause between two submits, either way
WARM_UP = 10.0  # seconds
SIGNED_IN_AT_ONCE = 4


@dataclass
class Found:
    """What a run of the load came to; times in seconds."""

    waits: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0
    server_cpu: float = 0.0  # cores' worth
    client_cpu: float = 0.0
    server_mib: float = 0.0
    commit: float = 0.0
    received: int = 0


def main() -> None:
    """Measure both databases, print the table, and put it into the documentation if wanted."""
    options = _options()
    lines = [
        f"{options.annotators} annotators, a submit each {options.pause:g} s, "
        f"{options.seconds:g} s after a warm-up of {WARM_UP:g} s; {options.tasks} tasks of "
        f"{COMPLETIONS} completions, overlap {options.overlap}; a draft is saved "
        f"{options.drafts} times before each submit.",
        "",
        "| database | submits | a second | p50 | p95 | p99 | slowest | p95 wanted | lost "
        "| server's cores | server's memory | a commit alone |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in options.databases:
        with database(name) as url:
            found = measure(url, options)
        lines.append(_line(name, found))
        print("\n".join(lines), flush=True)
        for lost in sorted(set(found.lost)):
            print(f"lost: {lost} ({found.lost.count(lost)} times)", flush=True)
    if options.docs:
        readme.put("load", "\n".join(lines), file=DOCS)


@contextmanager
def database(name: str) -> Iterator[str | None]:
    """Yield the URL of an empty database that keeps what it commits; None is SQLite in the home."""
    if name == "SQLite":
        yield None
        return
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("There is no PostgreSQL; `make test` as root installs it.")
    with PostgresCluster(binaries, durable=True, connections=100) as cluster:
        yield cluster.url("postgres")


def measure(database_url: str | None, options: argparse.Namespace) -> Found:
    """Fill a home, serve it, and let the annotators work."""
    with TemporaryDirectory() as folder:
        settings = settings_of(Path(folder) / "home", database_url)
        names = fill(
            settings,
            annotators=options.annotators,
            tasks=options.tasks,
            overlap=options.overlap,
        )
        floor = commit_floor(settings.url)
        server = Server(settings.home, database_url=settings.url)
        try:
            server.wait_for_page()
            found = asyncio.run(_play(server, names, options))
        finally:
            server.stop()
    found.commit = floor
    return found


async def _play(server: Server, names: Sequence[str], options: argparse.Namespace) -> Found:
    found = Found()
    async with browsers() as http:
        pages = await open_pages(http, server.url, names)
        process, own = psutil.Process(server.process.pid), psutil.Process()
        began = time.perf_counter() + WARM_UP
        ends = began + options.seconds
        players = [
            asyncio.create_task(annotate(page, number, began, ends, found, options))
            for number, page in enumerate(pages)
        ]
        await asyncio.sleep(began - time.perf_counter())
        used = _processor_seconds(process), _processor_seconds(own)
        received = sum(page.received for page in pages)
        await asyncio.sleep(ends - time.perf_counter())
        found.seconds = time.perf_counter() - began
        found.server_cpu = (_processor_seconds(process) - used[0]) / found.seconds
        found.client_cpu = (_processor_seconds(own) - used[1]) / found.seconds
        found.received = sum(page.received for page in pages) - received
        found.server_mib = process.memory_info().rss / 2**20
        await asyncio.gather(*players)
        await asyncio.gather(*(page.close() for page in pages))
    return found


def browsers() -> aiohttp.ClientSession:
    """Return what all annotators connect by; it keeps no cookies, which would be of the last."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    )


async def open_pages(
    http: aiohttp.ClientSession, url: str, names: Sequence[str]
) -> list[PageSession]:
    """Sign everybody in and open their pages, a few at a time."""
    turns = asyncio.Semaphore(SIGNED_IN_AT_ONCE)

    async def one(name: str) -> PageSession:
        async with turns:
            page = PageSession(http, url, await sign_in(http, url, name, PASSWORD))
            await page.open()
        return page

    return list(await asyncio.gather(*(one(name) for name in names)))


async def annotate(
    page: PageSession,
    number: int,
    began: float,
    ends: float,
    found: Found,
    options: argparse.Namespace,
) -> None:
    """Submit at the times that were drawn beforehand, and note how long each answer took."""
    chance = random.Random(f"{options.seed}/{number}")
    due = began - WARM_UP + chance.random() * options.pause
    while due < ends:
        for each in range(options.drafts):
            await _sleep_until(due - options.pause * (0.4 - 0.2 * each / options.drafts))
            await send_draft(page, chance)
        await _sleep_until(due)
        if page.data is None:
            found.lost.append("no task was left")
            return
        try:
            waited = await page.submit(submission(page.data, draw_ranks(chance), 5000))
        except PageLost as error:
            found.lost.append(str(error))
            return
        if began <= due < ends:
            found.waits.append(waited)
            if page.data is not None and page.data["refusal"]:
                found.lost.append(str(page.data["refusal"]["text"]))
        due += options.pause * (1 + JITTER * (2 * chance.random() - 1))


def draw_ranks(chance: random.Random) -> list[int]:
    """Return ranks in task position order, drawn by chance, with ties and without gaps."""
    drawn = [chance.randint(1, COMPLETIONS) for _ in range(COMPLETIONS)]
    dense = {rank: place for place, rank in enumerate(sorted(set(drawn)), start=1)}
    return [dense[rank] for rank in drawn]


def submission(data: dict[str, Any], ranks: Sequence[int], milliseconds: int) -> dict[str, Any]:
    """Return the ranks (task position order) as the component sends them: by place."""
    return {
        "assignment": data["assignment"],
        "nonce": uuid4().hex,
        "ranks_by_place": [ranks[position_of(text)] for text in data["completions"]],
        "milliseconds": milliseconds,
    }


async def send_draft(page: PageSession, chance: random.Random) -> None:
    """Save a draft as the component does while somebody ranks."""
    if page.data is None:
        return
    ranks = [chance.choice([None, 1, 2, 3]) for _ in range(COMPLETIONS)]
    draft = {"ranks_by_place": ranks, "focus": 0, "layout": "side"}
    await page.note(
        "draft",
        {"assignment": page.data["assignment"], "serial": page.data["serial"], "draft": draft},
    )


async def _sleep_until(due: float) -> None:
    await asyncio.sleep(max(0.0, due - time.perf_counter()))


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _line(name: str, found: Found) -> str:
    waits = [1000 * wait for wait in found.waits]
    if not waits:
        return f"| {name} | 0 | | | | | | {WANTED[name]} ms | {len(found.lost)} | | | |"
    return (
        f"| {name} | {len(waits)} | {len(waits) / found.seconds:.1f} "
        f"| {statistics.median(waits):.0f} ms | {percentile(waits, 0.95):.0f} ms "
        f"| {percentile(waits, 0.99):.0f} ms | {max(waits):.0f} ms | {WANTED[name]} ms "
        f"| {len(found.lost)} | {found.server_cpu:.2f} (annotators: {found.client_cpu:.2f}) "
        f"| {found.server_mib:.0f} MiB | {1000 * found.commit:.1f} ms |"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labeling_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--annotators", type=int, default=300)
    parser.add_argument("--pause", type=float, default=5.0, help="seconds between one's submits")
    parser.add_argument("--seconds", type=float, default=60.0, help="of measuring")
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--overlap", type=int, default=3)
    parser.add_argument("--drafts", type=int, default=0, help="saved before each submit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--databases", nargs="+", choices=tuple(WANTED), default=tuple(WANTED), metavar="NAME"
    )
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
