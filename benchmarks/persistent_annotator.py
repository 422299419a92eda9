"""An annotator without a browser who goes on whatever happens to the page, and what they saw."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks.disturbed_server import LEASE_MINUTES, DisturbedServer
from benchmarks.labeling_invariants import Acknowledged
from benchmarks.labeling_load import draw_ranks, submission
from benchmarks.page_session import PageLost, PageSession, sign_in
from benchmarks.pages import PASSWORD

#: that many open their page at a time; the rest wait their turn
OPENED_AT_ONCE = 8
VANISHING = 0.02  # of the submits


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


class PersistentAnnotator:
    """One who ranks at the server, and sends again what was not answered."""

    # Seconds to the next look where there is no task. Were 200 to look again and again, those who
    # have one would wait for a page behind them.
    waits = (12 * LEASE_MINUTES, 60 * LEASE_MINUTES)

    def __init__(
        self, server: DisturbedServer, http: aiohttp.ClientSession, name: str, told: Told
    ) -> None:
        """Take a name; nothing is opened yet."""
        self.server, self.http, self.name, self.told = server, http, name, told
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
            self.cookie = await sign_in(self.http, self.server.url, self.name, self.password)
        page = PageSession(self.http, self.server.url, self.cookie)
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
        self.ranks, self.pending = self._answer(data)
        return self.pending

    def _answer(self, data: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
        ranks = draw_ranks(self.chance)
        return ranks, submission(data, ranks, 3000)
