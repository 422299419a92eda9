"""How long the next-task query takes in a large database, for each strategy and kind of annotator.

    python -m benchmarks.labeling_scale --tasks 1000000 --judgments 5000000 [--postgres]

Prints p50, p95 and max of the query alone, of `next_assignment`, and of the whole cycle of a submit
and the next task, as the page does it; then the plan of each query. Milliseconds are of the
processor on SQLite, which answers within the process, and of the clock on PostgreSQL.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import numpy as np
from sqlalchemy import Engine, text
from sqlmodel import Session

from benchmarks.labeling_rows import POOL, PROJECT_ID, Size, fill
from labeling.judging.judgments import submit_judgment
from labeling.judging.surroundings import surroundings_of
from labeling.labeling_settings import change_labeling
from labeling.work_queue.assignment import next_assignment
from labeling.work_queue.claim import claim
from labeling.work_queue.queues import QUEUED_KINDS, queued_statement
from storage.clock import now
from storage.engine import build_engine, writing
from storage.migrate import upgrade
from storage.tables import Project
from tests.postgres_cluster import PostgresCluster, find_binaries

STRATEGIES = ("priority", "breadth", "depth")
AHEAD, IN_POOL, FIRST_OTHER = 1, 2, 3
MINUTES = 15.0


@contextmanager
def database(size: Size, *, postgres: bool, keep: Path | None) -> Iterator[Engine]:
    """Yield an engine on a filled database; `keep` is a SQLite file that is used again."""
    with TemporaryDirectory() as folder:
        if postgres:
            binaries = find_binaries()
            assert binaries is not None, "install the package postgresql"
            with PostgresCluster(binaries, durable=True) as cluster:
                yield from _filled(cluster.url("postgres"), size)
        else:
            file = keep or Path(folder) / "scale.db"
            yield from _filled(f"sqlite:///{file}", size, there=file.exists())


def _filled(url: str, size: Size, *, there: bool = False) -> Iterator[Engine]:
    upgrade(url)
    engine = build_engine(url)
    if not there:
        started = time.monotonic()
        fill(engine, size)
        print(f"filled in {time.monotonic() - started:.0f} s", flush=True)
    yield engine
    engine.dispose()


def measure(engine: Engine, size: Size, *, repeats: int) -> list[dict[str, object]]:
    """Return one row a strategy, kind of annotator and step, times in milliseconds."""
    rows = []
    for strategy in STRATEGIES:
        with writing(engine) as session:
            project = session.get_one(Project, PROJECT_ID)
            change_labeling(
                session, project=project, by=None, section="assignment",
                values={"strategy": strategy},
            )  # fmt: skip
        people = {
            f"closed {2 * size.ahead} first": [AHEAD],
            f"pool {POOL}": [IN_POOL],
            "others": list(range(FIRST_OTHER, size.annotators + 1)),
        }
        for who, annotators in people.items():
            for step, act in STEPS.items():
                taken = _times(engine, annotators, repeats, act)
                rows.append({"strategy": strategy, "annotator": who, "step": step, **taken})
                print(_line(rows[-1]), flush=True)
    return rows


def _times(
    engine: Engine, annotators: list[int], repeats: int, act: Callable[[Session, int], None]
) -> dict[str, float]:
    """Time `act` in transactions that change nothing: every one sees the same database.

    What writes is rolled back, after which PostgreSQL's driver forgets what it has prepared: there,
    those times hold the planning of every statement, which a server at work does without. The query
    alone, which only locks, ends as it does in the server.
    """
    # On a machine that others use, time that the process waited for a core says nothing of a query
    # that SQLite answers within the process.
    clock = time.thread_time if engine.dialect.name == "sqlite" else time.perf_counter
    taken = []
    for number in range(repeats + 3):
        annotator_id = annotators[number % len(annotators)]
        with (
            engine.connect().execution_options(rankloop_write=True) as connection,
            Session(connection) as session,
        ):
            session.get_one(Project, PROJECT_ID)
            started = clock()
            act(session, annotator_id)
            taken.append(1000 * (clock() - started))
            if act is _query:
                session.commit()
            else:
                session.rollback()
    # The first ones fill the caches of the database and of SQLAlchemy.
    values = np.array(taken[3:])
    return {
        "p50": float(np.percentile(values, 50)),
        "p95": float(np.percentile(values, 95)),
        "max": float(values.max()),
    }


def _query(session: Session, annotator_id: int) -> None:
    found = claim(session, project_id=PROJECT_ID, annotator_id=annotator_id, kinds=QUEUED_KINDS)
    assert found is not None


def _lend(session: Session, annotator_id: int) -> None:
    assert _next(session, annotator_id) is not None


def _next(session: Session, annotator_id: int) -> object:
    return next_assignment(
        session, project_id=PROJECT_ID, annotator_id=annotator_id, minutes=MINUTES
    )


def _submit_to_next(session: Session, annotator_id: int) -> None:
    task = next_assignment(
        session, project_id=PROJECT_ID, annotator_id=annotator_id, minutes=MINUTES
    )
    assert task is not None
    submitted = submit_judgment(
        session,
        assignment_id=task.assignment_id,
        annotator_id=annotator_id,
        ranks=[1, 2],
        milliseconds=20_000,
        nonce=uuid4().hex,
    )
    assert submitted.stored
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    surroundings_of(session, project_id=PROJECT_ID, annotator_id=annotator_id, since=midnight)
    assert _next(session, annotator_id) is not None


STEPS = {
    "next-task query": _query,
    "next_assignment": _lend,
    "lend, submit, counts, next": _submit_to_next,
}


def _line(row: dict[str, object]) -> str:
    return (
        f"{row['strategy']:<9} {row['annotator']:<20} {row['step']:<27} "
        f"p50 {row['p50']:7.2f}  p95 {row['p95']:7.2f}  max {row['max']:7.2f} ms"
    )


def plans(engine: Engine) -> Iterator[str]:
    """Yield the database's plan of each strategy's query, for the annotator who is ahead."""
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN (ANALYZE)"
    with engine.connect() as connection:
        for strategy in STRATEGIES:
            statement = queued_statement(AHEAD, PROJECT_ID, QUEUED_KINDS, strategy, "")
            literal = statement.compile(engine, compile_kwargs={"literal_binds": True})
            yield f"\n{strategy}:"
            for row in connection.execute(text(f"{explain} {literal}".replace(":", r"\:"))):
                yield f"    {row[-1]}"


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description="Time the next-task query in a large database.")
    parser.add_argument("--tasks", type=int, default=Size.tasks)
    parser.add_argument("--judgments", type=int, default=Size.judgments)
    parser.add_argument("--annotators", type=int, default=Size.annotators)
    parser.add_argument("--ready", type=float, default=Size.ready, help="share not done")
    parser.add_argument("--ahead", type=int, default=Size.ahead)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--keep", type=Path, help="SQLite file to fill, or to use again")
    given = parser.parse_args()
    size = Size(given.tasks, given.judgments, given.annotators, given.ready, given.ahead)
    with database(size, postgres=given.postgres, keep=given.keep) as engine:
        measure(engine, size, repeats=given.repeats)
        print("\n".join(plans(engine)))


if __name__ == "__main__":
    main()
