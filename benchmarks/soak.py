"""A day's work in 20 minutes at one web server: does its memory stay flat?

    python -m benchmarks.soak
    python -m benchmarks.soak --minutes 4 --annotators 30

Annotators submit, reload their page, lose their connection without a word, sign out and in again;
leads go from page to page. Every few seconds the server's memory, threads, files, open pages and
connections to the database are noted, and beside it the memory of the process that measures figures
for it, which ends from time to time. Its memory is what no file can give back (`Anonymous` of
Linux): the pages of libraries count as the server's own only while no other process has them, some
70 MiB that come and go with others' work. The slope is a straight line through the least of each
minute after the warm-up, in MiB an hour: a password takes 64 MiB for as long as it is hashed
(Argon2id), and whether a look meets one is chance.
"""

import argparse
import asyncio
import math
import random
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import readme
from benchmarks.labeling_load import browsers, database, draw_ranks, submission
from benchmarks.labeling_stage import fill, settings_of
from benchmarks.page_session import PageLost, PageSession, sign_in, sign_out
from benchmarks.pages import PASSWORD, Server
from labeling.accounts import create_account
from storage.engine import build_engine, writing
from storage.settings import Settings
from storage.tables import Role

DOCS = Path(__file__).parent.parent / "docs" / "operations.md"
OVERLAP = 3
# Streamlit keeps the sessions of pages that went away, pages are visited for the first time, the
# connections' caches fill.
WARM_UP = 6.0  # minutes
TOO_SHORT = 3  # minutes after it, of which nothing can be said
RELOADS, VANISHES, SIGN_OUTS = 0.04, 0.01, 0.01  # of what an annotator does next; else a submit
LEADS_PAUSE = 8.0  # seconds between two pages of a lead
LEADS_PAGES = (
    "", "agreement", "annotators", "all-judgments", "throughput", "review", "rounds", "export",
    "judgments", "withdrawals",
)  # fmt: skip
SHOWN = 12  # lines of the table


@dataclass(frozen=True)
class Look:
    """The server at one moment."""

    minutes: float
    mib: float
    measuring: float
    pages: int
    threads: int
    files: int
    connections: int


@dataclass
class Done:
    """How much everybody did."""

    submits: int = 0
    reloads: int = 0
    vanished: int = 0
    sign_ins: int = 0
    leads_pages: int = 0
    lost: int = 0


def main() -> None:
    """Soak one database after the other, print the tables, and put them into docs if wanted."""
    options = _options()
    parts = []
    for name in options.databases:
        with database(name) as url, TemporaryDirectory() as folder:
            settings = settings_of(Path(folder) / "home", url)
            parts.append(_soak(name, settings, options))
        print(parts[-1], flush=True)
    if options.docs:
        readme.put("soak", "\n\n".join(parts), file=DOCS)


def _soak(name: str, settings: Settings, options: argparse.Namespace) -> str:
    submits = options.annotators * 60 * options.minutes / options.pause
    tasks = int(1.3 * submits / OVERLAP) + options.annotators
    names = fill(settings, annotators=options.annotators, tasks=tasks, overlap=OVERLAP)
    leads = _add_leads(settings, options.leads)
    server = Server(settings.home, database_url=settings.url)
    try:
        server.wait_for_page()
        done, looks = asyncio.run(_work(server, names, leads, options))
    finally:
        server.stop()
    return "\n".join(_table(name, done, looks, options))


def _add_leads(settings: Settings, number: int) -> list[str]:
    engine = build_engine(settings.url)
    names = [f"lead-{one}" for one in range(number)]
    with writing(engine) as session:
        for name in names:
            create_account(session, name=name, role=Role.LEAD, password=PASSWORD)
    engine.dispose()
    return names


async def _work(
    server: Server, names: Sequence[str], leads: Sequence[str], options: argparse.Namespace
) -> tuple[Done, list[Look]]:
    done, looks = Done(), list[Look]()
    began = time.monotonic()
    ends = began + 60 * options.minutes
    async with browsers() as http:
        people = [Annotator(http, server.url, name, done, options) for name in names]
        everyone = [person.work(ends) for person in people]
        everyone += [_lead(http, server.url, name, done, ends) for name in leads]
        working = [asyncio.create_task(each) for each in everyone]
        while time.monotonic() < ends:
            await asyncio.sleep(options.every)
            looks.append(await asyncio.to_thread(_look, server, began))
        await asyncio.gather(*working)
    return done, looks


class Annotator:
    """Someone who works all day, as people do."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        name: str,
        done: Done,
        options: argparse.Namespace,
    ) -> None:
        """Nothing is opened yet."""
        self.http, self.url, self.name, self.done = http, url, name, done
        self.pause = options.pause
        self.chance = random.Random(f"{options.seed}/{name}")
        self.cookie = ""
        self.page: PageSession | None = None

    async def work(self, ends: float) -> None:
        """Do one thing after another until the time is over."""
        await asyncio.sleep(self.chance.random() * self.pause)
        while time.monotonic() < ends:
            try:
                await self._next()
            except PageLost:
                self.done.lost += 1
                await self._close()
            await asyncio.sleep(self.pause * (0.5 + self.chance.random()))
        await self._close()

    async def _next(self) -> None:
        page, drawn = await self._opened(), self.chance.random()
        if drawn < RELOADS or page.data is None:
            self.done.reloads += 1
            await self._close()
        elif drawn < RELOADS + VANISHES:
            self.done.vanished += 1
            page.vanish()
            self.page = None
        elif drawn < RELOADS + VANISHES + SIGN_OUTS:
            await self._close()
            await sign_out(self.http, self.url, self.cookie)
            self.cookie = ""
        else:
            await page.submit(submission(page.data, draw_ranks(self.chance), 5000))
            self.done.submits += 1

    async def _opened(self) -> PageSession:
        if not self.cookie:
            self.cookie = await sign_in(self.http, self.url, self.name, PASSWORD)
            self.done.sign_ins += 1
        if self.page is None:
            page = PageSession(self.http, self.url, self.cookie)
            try:
                await page.open()
            except PageLost:
                await page.close()
                raise
            self.page = page
        return self.page

    async def _close(self) -> None:
        if self.page is not None:
            await self.page.close()
        self.page = None


async def _lead(http: aiohttp.ClientSession, url: str, name: str, done: Done, ends: float) -> None:
    chance, cookie = random.Random(name), ""
    while time.monotonic() < ends:
        try:
            cookie = cookie or await sign_in(http, url, name, PASSWORD)
            async with PageSession(http, url, cookie, chance.choice(LEADS_PAGES)):
                done.leads_pages += 1
                await asyncio.sleep(LEADS_PAUSE)
        except PageLost:
            done.lost += 1
            await asyncio.sleep(1)


def _look(server: Server, began: float) -> Look:
    process = psutil.Process(server.process.pid)
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
        found = {one.name: one for one in text_string_to_metric_families(answer.read().decode())}
    open_files = process.open_files()
    to_database = sum(1 for each in process.net_connections("tcp") if each.raddr
                      and each.laddr.port != server.port)  # fmt: skip
    return Look(
        minutes=(time.monotonic() - began) / 60,
        mib=own_memory(process) / 2**20,
        measuring=sum(map(own_memory, process.children(recursive=True))) / 2**20,
        pages=int(found["rankloop_open_pages"].samples[0].value),
        threads=process.num_threads(),
        files=process.num_fds(),
        connections=to_database + sum(1 for each in open_files if each.path.endswith(".db")),
    )


def own_memory(process: psutil.Process) -> int:
    """Return the bytes of memory that are the process's alone whoever else runs on the machine.

    One that has ended has none.
    """
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return int(process.memory_full_info().uss) if process.is_running() else 0
    return next(1024 * int(each.split()[1]) for each in lines if each.startswith("Anonymous:"))


def slope(looks: Sequence[Look]) -> float:
    """Return the MiB an hour by which the memory grew after the warm-up; NaN for a short run.

    Least squares through the least of each minute: what is held for an instant is in no minute's.
    """
    least: dict[int, Look] = {}
    for each in looks:
        minute = int(each.minutes)
        if each.minutes >= WARM_UP and (minute not in least or each.mib < least[minute].mib):
            least[minute] = each
    if len(least) < TOO_SHORT:
        return math.nan
    hours = np.array([each.minutes / 60 for each in least.values()])
    return float(np.polyfit(hours, [each.mib for each in least.values()], 1)[0])


def _table(name: str, done: Done, looks: Sequence[Look], options: argparse.Namespace) -> list[str]:
    every = max(1, len(looks) // SHOWN)
    rows = [
        f"| {each.minutes:.1f} | {each.mib:.0f} MiB | {each.measuring:.0f} MiB | {each.pages} "
        f"| {each.threads} | {each.files} | {each.connections} |"
        for each in (*looks[::every], looks[-1])
    ]
    return [
        f"{name}, {options.minutes:g} minutes: {options.annotators} annotators, {options.leads} "
        f"leads; {done.submits} submits, {done.reloads} reloads, {done.vanished} connections lost "
        f"without a word, {done.sign_ins} sign-ins, {done.leads_pages} pages of leads, {done.lost} "
        f"answers that did not come. Its memory after a warm-up of {WARM_UP:g} minutes: "
        f"{_grows(looks)}.",
        "",
        "| minute | server | measuring | open pages | threads | files | connections |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ]


def _grows(looks: Sequence[Look]) -> str:
    found = slope(looks)
    if math.isnan(found):
        return "the run was too short to tell"
    after = [each.mib for each in looks if each.minutes >= WARM_UP]
    return f"**{found:+.0f} MiB an hour** (least {min(after):.0f}, most {max(after):.0f} MiB)"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--annotators", type=int, default=60)
    parser.add_argument("--leads", type=int, default=3)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds, mean of an annotator")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--seed", type=int, default=1)
    names = ("SQLite", "PostgreSQL")
    parser.add_argument("--databases", nargs="+", choices=names, default=names[:1], metavar="NAME")
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
