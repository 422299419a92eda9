"""kill -9 of everything at random moments, over many rounds, with two workers all the while."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from sqlmodel import select

from storage.engine import reading, repeatable_reading
from storage.settings import Settings
from storage.tables import WorkerLease
from tests.faults.conftest import Tell
from tests.faults.invariants import broken
from tests.faults.loop import ended_rounds, in_words, what_is_broken
from tests.faults.site import Site, set_up, small_settings
from tests.faults.table import Row
from tests.faults.told import Team
from tests.postgres_cluster import PostgresCluster

ROUNDS = int(os.environ.get("RANKLOOP_FAULT_ROUNDS", "50"))
SEED = int(os.environ.get("RANKLOOP_FAULT_SEED", "1"))
MINUTES = float(os.environ.get("RANKLOOP_FAULT_MINUTES", "inf"))
FEWEST = 2  # rounds that must end, whatever the minutes
BETWEEN = (0.05, 0.6)  # of the seconds that a start and a round take here, to the next fault
SLOWEST_PACE = 90.0  # seconds
AT_STARTING = 0.1  # of the kills of a trainer that has only begun to start: it must get to work
SECONDS_A_ROUND = 180.0  # at most, on average

pytestmark = pytest.mark.faults


class Breaker:
    """Break one thing at a time, and note how long it takes until the pages serve again."""

    def __init__(self, site: Site, cluster: PostgresCluster | None, seed: int) -> None:
        self.site, self.cluster = site, cluster
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.slowest = 0.0
        self.ways: list[tuple[str, Callable[[], bool]]] = [
            ("web", self._web),
            ("worker", self._worker),
            ("child", self._child),
        ]
        if cluster is not None:
            self.ways += [("database", self._database), ("database restarted", self._restart)]

    def once(self) -> None:
        name, act = self.chance.choice(self.ways)
        if act():
            self.done[name] += 1
        self.slowest = max(self.slowest, self.site.seconds_until_ready())

    def _web(self) -> bool:
        self.site.kill("web")
        return True

    def _spared(self) -> bool:
        with reading(self.site.engine) as session:
            lease = session.exec(select(WorkerLease)).first()
        starting = lease is None or lease.doing == "starting"
        return starting and self.chance.random() > AT_STARTING

    def _worker(self) -> bool:
        if self._spared():
            return False
        self.site.kill(self.chance.choice(["worker-0", "worker-1"]))
        return True

    def _child(self) -> bool:
        child = self.site.child()
        if child is None or self._spared():
            return False
        with suppress(psutil.NoSuchProcess):
            child.kill()
        return True

    def _database(self) -> bool:
        assert self.cluster is not None
        self.cluster.kill()
        self.cluster.start()
        # Connections of the test itself went with it, too.
        self.site.engine.dispose()
        return True

    def _restart(self) -> bool:
        assert self.cluster is not None
        self.cluster.restart()
        self.site.engine.dispose()
        return True


def storm(
    settings: Settings, cluster: PostgresCluster | None, rounds: int
) -> tuple[Row, list[str]]:
    names = set_up(settings, annotators=3)
    with Site(settings, workers=2) as site:
        breaker = Breaker(site, cluster, SEED)
        began = time.monotonic()
        with Team(site, names, pause=1.0, seed=SEED) as team:
            site.until(lambda: ended_rounds(site), "a round without a fault", 4 * SECONDS_A_ROUND)
            pace = min(SLOWEST_PACE, time.monotonic() - began)
            deadline = time.monotonic() + SECONDS_A_ROUND * rounds
            enough = began + 60 * MINUTES
            while (done := sum((ended := ended_rounds(site)).values())) < rounds:
                if done >= FEWEST and time.monotonic() > enough:
                    break
                assert time.monotonic() < deadline, f"{ended}, {breaker.done}\n{site.last_lines()}"
                time.sleep(pace * breaker.chance.uniform(*BETWEEN))
                breaker.once()
                # Annotators go on meanwhile: all is to be counted at one moment.
                with repeatable_reading(site.engine) as session:
                    assert broken(session, [], settings.home) == []
        ended, wrong = ended_rounds(site), what_is_broken(site, team)
    row = Row(
        fault=f"kill -9 at random moments over {sum(ended.values())} rounds, two workers at once, "
        f"{site.engine.dialect.name}",
        times=", ".join(f"{name} {count}" for name, count in sorted(breaker.done.items())),
        acknowledged=len(team.told.acknowledged),
        rounds=in_words(ended),
        ready_seconds=breaker.slowest,
        seen=f"{team.told.sent_again} submits sent again with their nonce",
    )
    return row, wrong


@pytest.mark.timeout(ROUNDS * SECONDS_A_ROUND + 300)
def test_kills_on_postgresql(
    own_postgres: PostgresCluster, tiny_model: Path, tmp_path: Path, tell: Tell
) -> None:
    settings = small_settings(tmp_path / "home", tiny_model, own_postgres.url("postgres"))
    row, wrong = storm(settings, own_postgres, ROUNDS)
    assert wrong == []
    assert row.acknowledged
    tell(row)


@pytest.mark.timeout(ROUNDS * SECONDS_A_ROUND + 300)
def test_kills_on_sqlite(tiny_model: Path, tmp_path: Path, tell: Tell) -> None:
    row, wrong = storm(small_settings(tmp_path / "home", tiny_model), None, max(2, ROUNDS // 5))
    assert wrong == []
    assert row.acknowledged
    tell(row)
