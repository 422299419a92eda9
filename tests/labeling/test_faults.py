"""Processes are killed at any instant, connections are cut: what was acknowledged is stored once.

The same at full size, through the real server: `python -m benchmarks.labeling_faults`.
"""

import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from sqlalchemy import Engine, text
from sqlmodel import select

from benchmarks.labeling_invariants import above_overlap, broken, live_leases, unfinished
from storage.engine import reading
from storage.tables import Judgment, Project
from tests.forked import forked
from tests.labeling.crashing_annotators import LEASE_MINUTES, K, acknowledged, work
from tests.labeling.stage import Stage, set_stage

PROCESSES = 3
ANNOTATORS = 9
TASKS = 50
OVERLAP = 2
KILLS = 8
SIGKILLED = -9


class Crew:
    """Processes that judge, each started again when it was killed."""

    def __init__(self, stage: Stage, annotators: list[int], folder: Path) -> None:
        self.url = stage.engine.url.render_as_string(hide_password=False)
        self.stage, self.annotators = stage, annotators
        self.journals = [folder / f"journal-{number}" for number in range(PROCESSES)]
        self.context = forked()
        self.started = 0
        self.processes = [self._start(number) for number in range(PROCESSES)]

    def _start(self, number: int) -> BaseProcess:
        self.started += 1
        process = self.context.Process(
            target=work,
            args=(
                self.url,
                self.stage.project_id,
                # Nobody works in two processes, so who sends again is who sent.
                self.annotators[number::PROCESSES],
                self.journals[number],
                self.started,
            ),
        )
        process.start()
        return process

    def killed(self) -> list[int]:
        """Return who was killed; who ended otherwise has found no task, and rests."""
        codes = [process.exitcode for process in self.processes]
        assert set(codes) <= {None, 0, SIGKILLED}, codes
        return [number for number, code in enumerate(codes) if code == SIGKILLED]

    def start_again(self) -> int:
        """Start whoever was killed again; return how many."""
        killed = self.killed()
        for number in killed:
            self.processes[number] = self._start(number)
        return len(killed)

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].join()

    def working(self) -> bool:
        return any(process.is_alive() for process in self.processes)


def cut_connections(engine: Engine) -> None:
    """End every other connection to the database; SQLite has none to end."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )


def disturb(crew: Crew, engine: Engine) -> int:
    """Kill and cut until everybody has ended by themselves; return how many were killed."""
    chance, killed, from_outside = random.Random(1), 0, 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(chance.uniform(0.05, 0.25))
        if from_outside < KILLS:
            crew.kill(chance.randrange(PROCESSES))
            from_outside += 1
            cut_connections(engine)
        with reading(engine) as session:
            assert above_overlap(session) == []
        killed += crew.start_again()
        if not crew.working() and not crew.killed():
            return killed
    raise AssertionError("The processes did not end within a minute.")


def test_kills_lose_nothing_store_nothing_twice_and_leave_no_lease(
    engine: Engine, project: Project, tmp_path: Path
) -> None:
    stage = set_stage(engine, project, overlap=OVERLAP)
    for number in range(TASKS):
        stage.add_task(f"t{number}", k=K)
    annotators = [stage.account(f"ann-{number}") for number in range(ANNOTATORS)]
    crew = Crew(stage, annotators, tmp_path)
    assert disturb(crew, engine) >= KILLS
    told = [line for journal in crew.journals for line in acknowledged(journal)]
    time.sleep(60 * LEASE_MINUTES)
    with reading(engine) as session:
        assert live_leases(session) == []
        assert not any(broken(session, told).values()), broken(session, told)
        assert len(told) <= len(session.exec(select(Judgment.id)).all())
    assert len(told) > TASKS // 2

    # Whatever a killed process held can be had again: others finish every task.
    for number in range(OVERLAP):
        while stage.next(f"fresh-{number}") is not None:
            stage.judge(f"fresh-{number}", [1, 2])
    with reading(engine) as session:
        assert unfinished(session) == []
        assert not any(broken(session, told).values()), broken(session, told)
