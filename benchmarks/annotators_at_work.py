"""A team of annotators at a server of its own, for as long as something else is measured.

They are played by one process, which holds their Streamlit websockets open and draws nothing: what
this costs is the server's work and the network's, as where annotators sit at machines of their own.
"""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.labeling_load import browsers, draw_ranks, open_pages, submission
from benchmarks.labeling_stage import fill, settings_of
from benchmarks.page_session import PageSession
from benchmarks.pages import Server

OVERLAP = 3
STARTING_SECONDS = 300


@dataclass
class Team:
    """What the team came to: submits, and the cores' worth that server and players took."""

    submits: int = 0
    server_cores: float = 0.0
    player_cores: float = 0.0
    problem: BaseException | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    home_time: threading.Event = field(default_factory=threading.Event)


@contextmanager
def at_work(home: Path, *, annotators: int, pause: float, tasks: int) -> Iterator[Team]:
    """Let `annotators` submit every `pause` seconds on average, inside the block."""
    settings = settings_of(home, None)
    names = fill(settings, annotators=annotators, tasks=tasks, overlap=OVERLAP)
    server = Server(settings.home, database_url=settings.url)
    team = Team()
    thread = threading.Thread(target=_play, args=(team, server, names, pause))
    try:
        server.wait_for_page()
        thread.start()
        if not team.ready.wait(STARTING_SECONDS) or team.problem:
            raise SystemExit(f"The annotators could not begin: {team.problem}")
        processes = psutil.Process(server.process.pid), psutil.Process()
        before, began = [_used(each) for each in processes], time.monotonic()
        yield team
        seconds = time.monotonic() - began
        used = [_used(each) - was for each, was in zip(processes, before, strict=True)]
        team.server_cores, team.player_cores = used[0] / seconds, used[1] / seconds
        if team.problem:
            raise SystemExit(f"The annotators stopped: {team.problem}")
    finally:
        team.home_time.set()
        if thread.is_alive():
            thread.join()
        server.stop()


def _play(team: Team, server: Server, names: list[str], pause: float) -> None:
    try:
        asyncio.run(_sessions(team, server, names, pause))
    except BaseException as error:
        team.problem = error
    finally:
        team.ready.set()


async def _sessions(team: Team, server: Server, names: list[str], pause: float) -> None:
    async with browsers() as http:
        pages = await open_pages(http, server.url, names)
        team.ready.set()
        await asyncio.gather(*(_annotate(team, page, pause, at) for at, page in enumerate(pages)))
        await asyncio.gather(*(page.close() for page in pages))


async def _annotate(team: Team, page: PageSession, pause: float, seed: int) -> None:
    chance = random.Random(seed)
    due = time.monotonic() + chance.random() * pause
    while not team.home_time.is_set():
        if time.monotonic() < due:
            await asyncio.sleep(min(0.2, max(0.0, due - time.monotonic())))
            continue
        if page.data is None:
            raise RuntimeError("no task was left")
        await page.submit(submission(page.data, draw_ranks(chance), 5000))
        team.submits += 1
        due += pause * (0.5 + chance.random())


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
