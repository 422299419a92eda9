"""A team at the pages of a site that is being broken, and what it was told is saved."""

import asyncio
import random
import threading
from types import TracebackType
from typing import Any, Protocol
from uuid import uuid4

import aiohttp

from benchmarks.labeling_load import browsers
from benchmarks.persistent_annotator import OPENED_AT_ONCE, PersistentAnnotator, Told

PASSWORD = "correct horse battery"


class Served(Protocol):
    """Where the pages are."""

    url: str


class Rater(PersistentAnnotator):
    """An annotator of any completions; what they give is kept by place, as it is shown."""

    waits = (1.0, 3.0)

    def _answer(self, data: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
        drawn = [self.chance.randint(1, 3) for _ in data["completions"]]
        dense = {rank: place for place, rank in enumerate(sorted(set(drawn)), start=1)}
        ranks = [dense[rank] for rank in drawn]
        return ranks, {
            "assignment": data["assignment"],
            "nonce": uuid4().hex,
            "ranks_by_place": ranks,
            "milliseconds": 3000,
        }


class Team:
    """Annotators in a thread of their own, at work inside the `with` block."""

    def __init__(self, site: Served, names: list[str], *, pause: float, seed: int) -> None:
        """`pause`: seconds between two submits of one annotator, on average."""
        self.site, self.names, self.pause, self.seed = site, names, pause, seed
        self.told = Told()
        self._loop = asyncio.new_event_loop()
        self._over: asyncio.Event | None = None
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._problem: BaseException | None = None

    def __enter__(self) -> "Team":
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Let everybody go home; raise what stopped somebody."""
        if self._thread.is_alive() and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        if self._problem is not None:
            raise self._problem

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._work())
        except BaseException as error:
            self._problem = error
        finally:
            self._begun.set()
            self._loop.close()

    async def _work(self) -> None:
        self._over, opening = asyncio.Event(), asyncio.Semaphore(OPENED_AT_ONCE)
        async with browsers() as http:
            people = [self._person(http, name) for name in self.names]
            self._begun.set()
            await asyncio.gather(
                *(person.work(self.pause, self._over, opening) for person in people)
            )

    def _person(self, http: aiohttp.ClientSession, name: str) -> Rater:
        site: Any = self.site
        person = Rater(site, http, name, self.told)
        person.password = PASSWORD
        person.chance = random.Random(f"{self.seed}/{name}")
        return person
