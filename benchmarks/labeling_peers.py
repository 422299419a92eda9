"""Rankloop beside Label Studio and Potato: judgments a second, and from submit to the next task.

    python -m benchmarks.labeling_peers --work FOLDER

Each is a server of its own with the same tasks, started by its own command with its own defaults
and spoken to by its own endpoints, by the same number of annotators. They take turns: only one of
them works at a time. An annotator submits as soon as the next task is there, so this is the most
that a server does, not a pace of people.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import aiohttp
import psutil

from benchmarks import readme
from benchmarks.labeling_load import DOCS, browsers, draw_ranks, submission
from benchmarks.labeling_stage import COMPLETIONS, fill, settings_of, task_texts
from benchmarks.page_session import PageLost, PageSession, sign_in
from benchmarks.pages import PASSWORD, Server, percentile
from benchmarks.peers.labeling_tools import Annotator, LabelStudio, Potato, Tool, ToolFailed

OPENED_AT_ONCE = 4
LOST = (aiohttp.ClientError, PageLost, ToolFailed, TimeoutError)


@dataclass
class Side:
    """One of those compared, and what its turns came to."""

    name: str
    stores: str
    annotators: list[Annotator]
    process: int
    waits: list[float] = field(default_factory=list)
    #: the annotators of each task, by their place in `annotators`
    tasks: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    mib: float = 0.0


class Ours:
    """Rankloop on SQLite, by the websocket of its page."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Fill a home and serve it."""
        self.folder = Path(mkdtemp())
        settings = settings_of(self.folder / "home", None)
        self.names = fill(settings, annotators=options.annotators, tasks=options.tasks, overlap=1)
        self.server = Server(settings.home)
        self.server.wait_for_page()

    def stop(self) -> None:
        """End the server and remove its home."""
        self.server.stop()
        shutil.rmtree(self.folder)


class _OurAnnotator:
    def __init__(self, http: aiohttp.ClientSession, url: str, name: str) -> None:
        self.http, self.url, self.name = http, url, name
        self.chance = random.Random(name)

    async def open(self) -> None:
        cookie = await sign_in(self.http, self.url, self.name, PASSWORD)
        self.page = PageSession(self.http, self.url, cookie)
        await self.page.open()

    async def submit(self) -> tuple[str, float]:
        data = self.page.data
        if data is None:
            raise ToolFailed("no task was left")
        waited = await self.page.submit(submission(data, draw_ranks(self.chance), 5000))
        # Assignments and tasks are one to one here: one annotator a task.
        return data["completions"][0].split(" to ")[1].split()[0], waited

    async def again(self) -> None:
        await self.close()
        self.page = PageSession(self.http, self.url, self.page.cookie)
        await self.page.open()

    async def close(self) -> None:
        await self.page.close()


def main() -> None:
    """Measure, print the table, and put it into the documentation if wanted."""
    options = _options()
    ours = Ours(options)
    tools: list[Tool] = []
    absent: list[str] = []
    try:
        for kind in (LabelStudio, Potato):
            try:
                tools.append(_started(kind, options))
            except (ToolFailed, OSError) as error:
                absent.append(f"{kind.name} was not measured: {error}")
        sides = asyncio.run(_compare(ours, tools, options))
    finally:
        ours.stop()
        for tool in tools:
            tool.stop()
    text = "\n".join([*_table(sides, options), *absent])
    print(text)
    if options.docs:
        readme.put("peers", text, file=DOCS)


def _started(kind: type[Tool], options: argparse.Namespace) -> Tool:
    tasks = [task_texts(number) for number in range(options.tasks)]
    tool = kind(options.work, tasks, annotators=options.annotators)
    try:
        tool.fill()
    except BaseException:
        tool.stop()
        raise
    return tool


async def _compare(ours: Ours, tools: list[Tool], options: argparse.Namespace) -> list[Side]:
    async with browsers() as http:
        own: list[Annotator] = [_OurAnnotator(http, ours.server.url, name) for name in ours.names]
        stores = "rows in SQLite: the judgment, its assignment, the task's count, two events"
        sides = [Side("Rankloop", stores, own, ours.server.process.pid)] + [
            Side(
                tool.name,
                tool.stores,
                [tool.annotator(number) for number in range(options.annotators)],
                tool.process.pid,
            )
            for tool in tools
        ]
        try:
            for side in sides:
                await _open(side)
            for _ in range(options.turns):
                for side in sides:
                    await _turn(side, options.seconds)
            for side in sides:
                side.mib = _memory(side.process)
        finally:
            opened = [one for side in sides for one in side.annotators]
            await asyncio.gather(*(one.close() for one in opened), return_exceptions=True)
    return sides


async def _open(side: Side) -> None:
    turns = asyncio.Semaphore(OPENED_AT_ONCE)

    async def one(annotator: Annotator) -> None:
        async with turns:
            while not await _opened(side, annotator):
                await annotator.close()
            # What is slow only once (imports, caches) is not measured.
            lost = False
            while await _submitted(side, annotator, lost) is None:
                lost = True

    await asyncio.gather(*(one(annotator) for annotator in side.annotators))


async def _turn(side: Side, seconds: float) -> None:
    began = time.perf_counter()

    async def work(number: int, annotator: Annotator) -> None:
        lost = False
        while time.perf_counter() < began + seconds:
            found = await _submitted(side, annotator, lost)
            lost = found is None
            if found is not None:
                task, waited = found
                side.tasks[task].add(number)
                side.waits.append(waited)

    await asyncio.gather(*(work(*numbered) for numbered in enumerate(side.annotators)))
    side.seconds += time.perf_counter() - began


async def _opened(side: Side, annotator: Annotator) -> bool:
    try:
        await annotator.open()
    except LOST as error:
        side.errors.append(_said(error))
        await asyncio.sleep(0.2)
        return False
    return True


async def _submitted(side: Side, annotator: Annotator, lost: bool) -> tuple[str, float] | None:
    """Submit, after another look at the task where an answer was lost; None where this one is."""
    try:
        if lost:
            await annotator.again()
        return await annotator.submit()
    except LOST as error:
        side.errors.append(_said(error))
        await asyncio.sleep(0.2)
        return None


def _said(error: Exception) -> str:
    # A refused request is told with its address, whose port is of this run alone.
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message} at {error.request_info.url.path}"
    return f"{type(error).__name__}: {error}"[:200]


def _memory(process: int) -> float:
    tree = [psutil.Process(process), *psutil.Process(process).children(recursive=True)]
    return sum(each.memory_info().rss for each in tree) / 2**20


def _table(sides: list[Side], options: argparse.Namespace) -> list[str]:
    lines = [
        f"{options.annotators} annotators without a pause, {options.turns} turns of "
        f"{options.seconds:g} s each; {options.tasks} tasks of {COMPLETIONS} completions, one "
        "annotator wanted for each.",
        "",
        "| who | judgments a second | p50 | p95 | slowest | errors | tasks given to two | memory "
        "| what a submit stores |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for side in sides:
        waits = [1000 * wait for wait in side.waits] or [float("nan")]
        # Rankloop shows some tasks to the same annotator again, for self-consistency.
        twice = sum(len(people) > 1 for people in side.tasks.values())
        lines.append(
            f"| {side.name} | {len(side.waits) / side.seconds:.1f} "
            f"| {statistics.median(waits):.0f} ms | {percentile(waits, 0.95):.0f} ms "
            f"| {max(waits):.0f} ms | {len(side.errors)} | {twice} | {side.mib:.0f} MiB "
            f"| {side.stores} |"
        )
    return [*lines, *(f"{side.name}: {one}" for side in sides for one in set(side.errors))]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labeling_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, help="where the peers are installed")
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=6000)
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    options = parser.parse_args()
    options.work = options.work.absolute()
    return options


if __name__ == "__main__":
    main()
