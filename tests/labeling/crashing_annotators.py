"""Annotators in a process that may be killed at any moment, and what they were told.

Each process writes a journal: a line before a submit is sent, a line when it was acknowledged. The
process that takes over sends again, with the same nonce, what has no second line.
"""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from benchmarks.labeling_invariants import Acknowledged
from labeling.judging.judgments import submit_judgment
from labeling.work_queue.assignment import next_assignment
from storage.engine import build_engine, writing

LEASE_MINUTES = 0.02
K = 2
ABANDONED = 0.1  # of the tasks that are lent
LATE = 0.08  # of the submits come when the lease has expired
CUT_WHILE_OPENING = ("server closed the connection", "terminating connection")
KILLED_INSIDE = 0.04  # of the transactions that store a judgment
KILLED_AFTER = 0.04  # of them, when it is stored and nobody was told


def work(url: str, project_id: int, annotators: list[int], journal: Path, seed: int) -> None:
    """Judge in turns until nobody can have a task; die now and then."""
    engine, chance = build_engine(url), random.Random(seed)
    line = unanswered(journal)
    if line is not None:
        _until_answered(engine, line, journal, chance)
    waiting = list(annotators)
    while waiting:
        annotator = chance.choice(waiting)
        line = _lend(engine, project_id, annotator, chance)
        if line is None:
            waiting.remove(annotator)
        elif chance.random() > ABANDONED:
            _write(journal, line)
            if chance.random() < LATE:
                time.sleep(66 * LEASE_MINUTES)
            _until_answered(engine, line, journal, chance)
    engine.dispose()


def acknowledged(journal: Path) -> list[Acknowledged]:
    """Return the judgments of which the journal says that they were acknowledged."""
    lines = _read(journal)
    told = {line["told"] for line in lines if "told" in line}
    return [
        Acknowledged(line["nonce"], tuple(line["ranks"]))
        for line in lines
        if line.get("nonce") in told
    ]


def unanswered(journal: Path) -> dict[str, Any] | None:
    """Return the last submit of the journal where nothing says what became of it."""
    lines = _read(journal)
    return lines[-1] if lines and "nonce" in lines[-1] else None


def _lend(
    engine: Engine, project_id: int, annotator: int, chance: random.Random
) -> dict[str, Any] | None:
    while True:
        try:
            with writing(engine) as session:
                task = next_assignment(
                    session, project_id=project_id, annotator_id=annotator, minutes=LEASE_MINUTES
                )
            break
        except DBAPIError as error:
            _check_cut(error)
    if task is None:
        return None
    return {
        "nonce": uuid4().hex,
        "assignment": task.assignment_id,
        "annotator": annotator,
        "ranks": chance.choice([[1, 2], [2, 1], [1, 1]]),
    }


def _until_answered(
    engine: Engine, line: dict[str, Any], journal: Path, chance: random.Random
) -> None:
    while True:
        try:
            stored = _submit(engine, line, chance)
        except DBAPIError as error:
            _check_cut(error)
        else:
            _write(journal, {"told": line["nonce"]} if stored else {"refused": line["nonce"]})
            return


def _submit(engine: Engine, line: dict[str, Any], chance: random.Random) -> bool:
    with writing(engine) as session:
        submission = submit_judgment(
            session,
            assignment_id=line["assignment"],
            annotator_id=line["annotator"],
            ranks=line["ranks"],
            milliseconds=1,
            nonce=line["nonce"],
        )
        _die(KILLED_INSIDE, chance)
    _die(KILLED_AFTER, chance)
    return submission.stored


def _die(share: float, chance: random.Random) -> None:
    if chance.random() < share:
        os.kill(os.getpid(), signal.SIGKILL)


def _check_cut(error: DBAPIError) -> None:
    """Let pass that the connection was cut (an annotator would submit again), and nothing else."""
    # One that is cut while it is being opened was never a connection that could be invalidated.
    opening = any(words in str(error) for words in CUT_WHILE_OPENING)
    if not (error.connection_invalidated or opening):
        raise error


def _write(journal: Path, line: dict[str, Any]) -> None:
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _read(journal: Path) -> list[dict[str, Any]]:
    if not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
