"""Simulated annotators at work at once, whose clients crash and who leave tasks behind.

A crash loses the client in the middle of a submit: half of them before the commit, half after it
and before it was told. It comes back and sends again with the same nonce, as the page does. An
annotator who abandons a task is gone until its lease has run out.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, PriorityQueue
from uuid import uuid4

import numpy as np
from sqlalchemy import Engine

from labeling.judging.drafts import keep_draft
from labeling.judging.judgments import submit_judgment
from labeling.judging.rankings import ranks_from_places
from labeling.keys import key_of
from labeling.simulated.preferences import Preference
from labeling.simulated.simulation import Progress, noisy_ranks, nothing_left
from labeling.work_queue.assignment import AssignedTask, next_assignment
from storage.engine import writing
from storage.errors import BadInput
from storage.tables import Account

_LOOK_AGAIN_SECONDS = 0.02


@dataclass(frozen=True)
class Faults:
    """How many work at once, and what goes wrong.

    `crash_rate` is of the submits, second tries included; `abandon_rate` is of the tasks lent.
    Where tasks are abandoned, leases last `lease_seconds`, so that a short run sees them come back.
    """

    concurrency: int = 1
    crash_rate: float = 0.0
    abandon_rate: float = 0.0
    lease_seconds: float = 3.0

    def __post_init__(self) -> None:
        """Raise `BadInput` where the numbers do not fit."""
        rates = (self.crash_rate, self.abandon_rate)
        if self.concurrency < 1 or not all(0.0 <= rate < 1.0 for rate in rates):
            raise BadInput(
                "A simulation works with at least 1 at once, and rates of crashes and abandoned "
                "tasks from 0 to below 1."
            )

    def lease_minutes(self, minutes: float) -> float:
        """Return how long a task is lent."""
        return self.lease_seconds / 60 if self.abandon_rate else minutes


class _ClientLost(Exception):
    """The client is gone, and with it the transaction that it had open."""


@dataclass
class BusySimulation:
    """One run; its threads share the accounts that are free, and what is counted here."""

    engine: Engine
    project_id: int
    accounts: list[Account]
    score: Preference
    judgments: int
    noise: float
    seed: int
    minutes: float
    faults: Faults
    fill_pool: Callable[[], int]
    progress: Progress | None = None
    begun: int = 0
    done: int = 0
    added: int = 0
    crashes: int = 0
    abandoned: int = 0
    failed: bool = False
    filled: bool = False
    idle: set[int] = field(default_factory=set)
    resting: dict[int, float] = field(default_factory=dict)
    free: "PriorityQueue[tuple[float, int]]" = field(default_factory=PriorityQueue)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def run(self) -> None:
        """Let threads judge until all judgments are stored; raise what one of them raises."""
        for number in range(len(self.accounts)):
            self.free.put((0.0, number))
        with ThreadPoolExecutor(self.faults.concurrency) as pool:
            for working in [pool.submit(self._work) for _ in range(self.faults.concurrency)]:
                working.result()

    def _work(self) -> None:
        try:
            while self._begin():
                if not self._turn():
                    with self.lock:
                        self.begun -= 1
        except BaseException:
            self.failed = True
            raise

    def _begin(self) -> bool:
        """Take one of the judgments upon oneself; wait while others may still give one back."""
        while not self.failed:
            with self.lock:
                if self.done >= self.judgments:
                    return False
                if self.begun < self.judgments:
                    self.begun += 1
                    return True
            time.sleep(_LOOK_AGAIN_SECONDS)
        return False

    def _turn(self) -> bool:
        """Let the account that is free first judge a task; say whether a judgment was stored."""
        try:
            free_at, number = self.free.get(timeout=_LOOK_AGAIN_SECONDS)
        except Empty:
            return False
        next_at = free_at
        try:
            if free_at > time.monotonic():
                time.sleep(_LOOK_AGAIN_SECONDS)
                return False
            next_at, stored = self._with_account(number)
            return stored
        finally:
            self.free.put((next_at, number))

    def _with_account(self, number: int) -> tuple[float, bool]:
        """Return when the account is free again, and whether it has judged."""
        task = self._lend(number)
        now = time.monotonic()
        if task is None:
            self._find_more(number)
            return now, False
        random = np.random.default_rng((self.seed, task.task_id, number, self.abandoned))
        if random.random() < self.faults.abandon_rate:
            with self.lock:
                self.abandoned += 1
                self.resting[number] = now + self.faults.lease_seconds
            return self.resting[number], False
        stored = self._judge(task, number, random)
        return time.monotonic(), stored

    def _lend(self, number: int) -> AssignedTask | None:
        with writing(self.engine) as session:
            return next_assignment(
                session,
                project_id=self.project_id,
                annotator_id=key_of(self.accounts[number]),
                minutes=self.faults.lease_minutes(self.minutes),
            )

    def _find_more(self, number: int) -> None:
        """Fill the pool once nobody finds a task in it; raise where that does not help."""
        with self.lock:
            self.idle.add(number)
            now = time.monotonic()
            self.resting = {who: until for who, until in self.resting.items() if until > now}
            # A task that somebody holds may come back, and its holder is idle only afterwards.
            if len(self.idle) < len(self.accounts) or self.resting:
                return
            if self.filled or (added := self.fill_pool()) <= 0:
                raise nothing_left(self.done, self.judgments)
            self.added += added
            self.filled = True
            self.idle.clear()

    def _judge(self, task: AssignedTask, number: int, random: np.random.Generator) -> bool:
        scores = [self.score(task.messages, text) for text in task.completions]
        places = noisy_ranks(scores, self.noise, random)
        self._keep_draft(task, number, places)
        nonce = uuid4().hex
        while True:
            fate = random.random() / self.faults.crash_rate if self.faults.crash_rate else 1.0
            try:
                stored = self._submit(task, number, places, nonce, lost_inside=fate < 0.5)
            except _ClientLost:
                stored = None
            if stored is not None and fate >= 1.0:
                break
            with self.lock:
                self.crashes += 1
        if stored:
            self._count()
        return stored

    def _keep_draft(self, task: AssignedTask, number: int, places: list[int]) -> None:
        with writing(self.engine) as session:
            keep_draft(
                session,
                assignment_id=task.assignment_id,
                annotator_id=key_of(self.accounts[number]),
                draft={"ranks_by_place": places},
            )

    def _submit(
        self, task: AssignedTask, number: int, places: list[int], nonce: str, *, lost_inside: bool
    ) -> bool:
        with writing(self.engine) as session:
            submission = submit_judgment(
                session,
                assignment_id=task.assignment_id,
                annotator_id=key_of(self.accounts[number]),
                ranks=ranks_from_places(task.display_order, places),
                milliseconds=0,
                nonce=nonce,
            )
            if lost_inside:
                raise _ClientLost
        return submission.stored

    def _count(self) -> None:
        with self.lock:
            self.done += 1
            self.filled = False
            self.idle.clear()
            if self.progress is not None:
                self.progress(self.done, self.judgments)
