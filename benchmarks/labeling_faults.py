"""200 annotators at the real server while browsers, server and connections are killed.

    python -m benchmarks.labeling_faults

The annotators are pages without a browser (`benchmarks.page_session`). Until 20,000 judgments are
stored: one submit in 50 is cut off by its own browser, the server is killed with -9 and started
again, on PostgreSQL connections are ended by the administrator, on SQLite other processes die
within a transaction that has overwritten every judgment. Then the tables are checked
(`benchmarks.labeling_invariants`); nothing of it asks the functions that are tested.
"""

import argparse
import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from sqlalchemy import Engine, create_engine, text

from benchmarks import readme
from benchmarks.labeling_invariants import (
    Acknowledged,
    above_overlap,
    broken,
    live_leases,
    unfinished,
)
from benchmarks.labeling_load import DOCS, browsers, database, draw_ranks, submission
from benchmarks.labeling_stage import fill, settings_of
from benchmarks.page_session import PageLost, PageSession, sign_in
from benchmarks.pages import PASSWORD, Server
from storage.engine import build_engine, reading
from storage.settings import Settings

OVERLAP = 2
LEASE_MINUTES = 0.5
VANISHING = 0.02  # of the submits
OPENED_AT_ONCE = 8
DIE_WITHIN = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE task SET status = 'withdrawn', judged = 99")
connection.execute("UPDATE judgment SET ranks = '[]'")
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass
class Told:
    """What the annotators saw, and what was done to them."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: int = 0
    vanished: int = 0
    in_doubt: int = 0
    sent_again: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    server_kills: int = 0
    cut: int = 0
    checks: list[str] = field(default_factory=list)
    checked: int = 0
    seconds: float = 0.0


class Site:
    """The server, which can be killed, and its database."""

    def __init__(self, settings: Settings) -> None:
        """Serve; leases are short, so that what is abandoned comes back within the run."""
        self.settings = settings
        self.engine: Engine = build_engine(settings.url)
        self.server = self._serve(None)
        self.server.wait_for_page()

    @property
    def url(self) -> str:
        """Return where the server listens, also after a kill."""
        return self.server.url

    def _serve(self, port: int | None) -> Server:
        return Server(
            self.settings.home,
            port=port,
            database_url=self.settings.url,
            assignment_minutes=str(LEASE_MINUTES),
        )

    def kill(self) -> None:
        """Kill the server with -9 and start it again on the same port."""
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait()
        self.server = self._serve(self.server.port)

    def cut(self, chance: random.Random) -> int:
        """End some connections of the server, or let a process die within a transaction."""
        if self.engine.dialect.name == "sqlite":
            file = str(self.engine.url.database)
            subprocess.run([sys.executable, "-c", DIE_WITHIN, file], check=False)
            return 1
        # This process's own connections are not for the administrator to end.
        self.engine.dispose()
        return _terminate(self.settings.url, chance)

    def unfinished(self) -> list[str]:
        """Return the tasks that want more judgments."""
        with reading(self.engine) as session:
            return unfinished(session)

    def above_overlap(self) -> list[str]:
        """Return the tasks that are lent or judged too often at this moment."""
        with reading(self.engine) as session:
            return above_overlap(session)

    def stop(self) -> None:
        """End the server."""
        self.server.stop()
        self.engine.dispose()


def _terminate(url: str, chance: random.Random) -> int:
    administrator = create_engine(url, isolation_level="AUTOCOMMIT")
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    with administrator.connect() as connection:
        found = connection.execute(text(f"SELECT pid FROM pg_stat_activity WHERE {others}"))
        chosen = [pid for (pid,) in found if chance.random() < 0.5]
        for pid in chosen:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    administrator.dispose()
    return len(chosen)


class Person:
    """An annotator who goes on whatever happens to the page."""

    # Seconds to the next look where there is no task. Were 200 to look again and again, those who
    # have one would wait for a page behind them.
    waits = (12 * LEASE_MINUTES, 60 * LEASE_MINUTES)

    def __init__(self, site: Site, http: aiohttp.ClientSession, name: str, told: Told) -> None:
        """Take a name; nothing is opened yet."""
        self.site, self.http, self.name, self.told = site, http, name, told
        self.chance = random.Random(name)
        self.page: PageSession | None = None
        self.cookie = ""
        self.password = PASSWORD
        # What was sent and not answered: the page sends it again, with its nonce.
        self.pending: dict[str, Any] | None = None
        self.ranks: list[int] = []

    async def work(self, pause: float, over: asyncio.Event, opening: asyncio.Semaphore) -> None:
        """Rank until `over`."""
        while not over.is_set():
            try:
                if self.page is None:
                    async with opening:
                        await self._open()
                await self._rank_one()
            except PageLost as error:
                self.told.lost[str(error)[:60]] = self.told.lost.get(str(error)[:60], 0) + 1
                await self._leave()
            await asyncio.sleep(pause * 2 * self.chance.random())
        await self._leave()

    async def _open(self) -> None:
        if not self.cookie:
            self.cookie = await sign_in(self.http, self.site.url, self.name, self.password)
        page = PageSession(self.http, self.site.url, self.cookie)
        try:
            await page.open()
        except PageLost:
            await page.close()
            raise
        self.page = page

    async def _leave(self) -> None:
        if self.page is not None:
            await self.page.close()
        self.page = None

    async def _rank_one(self) -> None:
        assert self.page is not None
        shown = self.page.data
        if shown is None:
            # No task now; abandoned ones come back when their lease ends.
            await asyncio.sleep(self.chance.uniform(*self.waits))
            await self._leave()
            return
        event = self._next_event(shown)
        if self.chance.random() < VANISHING:
            await self.page.send("submit", event)
            await asyncio.sleep(0.05 * self.chance.random())
            self.page.vanish()
            self.told.vanished += 1
            self.page = None
            return
        await self.page.submit(event)
        self._hear(event["nonce"], shown["refusal"])

    def _hear(self, nonce: str, refusal: dict[str, str] | None) -> None:
        """Take what the page says after a submit, as the page in a browser does.

        Only a page that names the nonce as done has acknowledged it. One without a task, or with
        another task, has said nothing of it: a lease may have run out while the submit was lost.
        """
        assert self.page is not None
        now = self.page.data
        done = now is not None and now["done"] == nonce
        if now is not None and now["refusal"] and now["refusal"] != refusal:
            # Where the same task is still shown, the page sends the same nonce again.
            self.told.refused += 1
        elif done:
            self.told.acknowledged.append(Acknowledged(nonce, tuple(self.ranks)))
        if done:
            self.pending = None

    def _next_event(self, data: dict[str, Any]) -> dict[str, Any]:
        if self.pending is not None and self.pending["assignment"] == data["assignment"]:
            self.told.sent_again += 1
            return self.pending
        if self.pending is not None:
            # It was stored, or another task was lent: nobody was told which.
            self.told.in_doubt += 1
        self.ranks = draw_ranks(self.chance)
        self.pending = submission(data, self.ranks, 3000)
        return self.pending


def main() -> None:
    """Run on both databases, print the table, and put it into the documentation if wanted."""
    options = _options()
    columns, bad = [], False
    for name in options.databases:
        with database(name) as url, TemporaryDirectory() as folder:
            told, rules = _run(settings_of(Path(folder) / "home", url), options)
        columns.append((name, told, rules))
        bad |= any(rules.values())
        for rule, cases in rules.items():
            for case in cases[:5]:
                print(f"{name}: BROKEN: {rule}: {case}", flush=True)
        print(f"{name}: pages lost: {told.lost}", flush=True)
        text = "\n".join(_table(columns, options))
        print(text, flush=True)
    if options.docs:
        readme.put("faults", text, file=DOCS)
    if bad:
        raise SystemExit("A rule was broken, see above.")


def _run(settings: Settings, options: argparse.Namespace) -> tuple[Told, dict[str, list[str]]]:
    names = fill(
        settings,
        annotators=options.annotators,
        tasks=options.judgments // OVERLAP,
        overlap=OVERLAP,
    )
    site, told = Site(settings), Told()
    try:
        asyncio.run(_disturbed(site, names, told, options))
    finally:
        site.stop()
    time.sleep(60 * LEASE_MINUTES)
    engine = build_engine(settings.url)
    with reading(engine) as session:
        rules = {
            **broken(session, told.acknowledged),
            "no task was above its overlap at any look during the run": told.checks,
            "no lease is left": live_leases(session),
            "every task has all its judgments": unfinished(session),
        }
    engine.dispose()
    return told, rules


async def _disturbed(
    site: Site, names: Sequence[str], told: Told, options: argparse.Namespace
) -> None:
    over, opening = asyncio.Event(), asyncio.Semaphore(OPENED_AT_ONCE)
    async with browsers() as http:
        people = [Person(site, http, name, told) for name in names]
        began = time.perf_counter()
        working = [
            asyncio.create_task(person.work(options.pause, over, opening)) for person in people
        ]
        # The disturber sleeps in a thread: what it does blocks.
        await asyncio.to_thread(_disturb, site, told, options)
        told.seconds = time.perf_counter() - began
        over.set()
        await asyncio.gather(*working)


def _disturb(site: Site, told: Told, options: argparse.Namespace) -> None:
    """Kill and cut at random times until every judgment is stored, or the time is over."""
    chance, began = random.Random(options.seed), time.monotonic()
    next_kill = began + options.kill_every
    while site.unfinished() and time.monotonic() < began + options.limit:
        time.sleep(chance.uniform(0.5, 3.5))
        told.cut += site.cut(chance)
        told.checks += site.above_overlap()
        told.checked += 1
        if time.monotonic() > next_kill:
            site.kill()
            told.server_kills += 1
            next_kill = time.monotonic() + options.kill_every * chance.uniform(0.5, 1.5)


def _table(
    columns: Sequence[tuple[str, Told, dict[str, list[str]]]], options: argparse.Namespace
) -> list[str]:
    def row(title: str, values: list[Any]) -> str:
        return f"| {title} | " + " | ".join(str(value) for value in values) + " |"

    told = [column[1] for column in columns]
    return [
        f"{options.annotators} annotators, {options.judgments} judgments wanted.",
        "",
        row("", [name for name, _, _ in columns]),
        row("---", ["---" for _ in columns]),
        row("seconds", [f"{one.seconds:.0f}" for one in told]),
        row("judgments acknowledged", [len(one.acknowledged) for one in told]),
        row("server killed with -9", [one.server_kills for one in told]),
        row("connections ended, or processes killed in a transaction", [one.cut for one in told]),
        row("browsers killed within a submit", [one.vanished for one in told]),
        row("pages lost and opened again", [sum(one.lost.values()) for one in told]),
        row("submits sent again with the same nonce", [one.sent_again for one in told]),
        row("submits of which nobody was told", [one.in_doubt for one in told]),
        row("refused: the task was full, or the connection was cut", [one.refused for one in told]),
        row("looks at the leases during the run", [one.checked for one in told]),
        *(
            row(f"broken: {rule}", [len(rules[rule]) for _, _, rules in columns])
            for rule in columns[0][2]
        ),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labeling_faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--annotators", type=int, default=200)
    parser.add_argument("--judgments", type=int, default=20_000)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds, mean of an annotator")
    parser.add_argument("--kill-every", type=float, default=30.0, help="seconds, of the server")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds for each database")
    parser.add_argument("--seed", type=int, default=1)
    names = ("SQLite", "PostgreSQL")
    parser.add_argument("--databases", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
